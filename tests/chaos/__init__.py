"""The chaos test: the whole pipeline under a seeded schedule of faults, then compared with the truth."""
