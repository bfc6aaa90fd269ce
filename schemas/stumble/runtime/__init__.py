"""Shared helpers of the roles: log of states, timers, workers, core affinity, garbage collection, times, error texts.

Start reading at ``state_log``. Imports ``wire``.
"""
