"""The transaction that takes events, decisions and new rules into the store."""
