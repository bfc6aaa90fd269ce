"""HTTP API over the failure store: reading only, on loopback only."""
