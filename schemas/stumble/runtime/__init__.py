"""Shared helpers of the roles: log of states, timers, workers, HTTP client, core affinity, times, error texts.

Start reading at ``state_log``. Imports ``wire``.
"""
