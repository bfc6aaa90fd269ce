"""The scenarios by subject. Plain data."""
