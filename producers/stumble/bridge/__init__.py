"""The bridge: events from notifications that a cloud sends already, where Nova's hosts may not be touched."""
