"""Stumble's side of the benchmarks: one process for each job."""
