"""Our own side of the benchmarks, a process a job."""
