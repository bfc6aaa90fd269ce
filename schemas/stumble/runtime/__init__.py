"""Helpers that every process uses: log of states, timers, core affinity, times, one-sentence error texts.

Start reading at ``state_log``. Imports ``wire``.
"""
