"""The whole path, from simulated services to the store, against what really happened."""
