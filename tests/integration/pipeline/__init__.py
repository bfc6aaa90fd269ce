"""The whole path, from simulated services to the store, compared with the simulator's truth."""
