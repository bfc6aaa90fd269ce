"""Audit and replay: whether the store says what the topic says, and what it said at another time."""
