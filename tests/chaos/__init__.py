"""Proof by killing: the whole pipeline under a seeded schedule of faults, then compared with what really happened."""
