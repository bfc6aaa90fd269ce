"""What every process needs once: log of states, timers, core affinity, times, errors as sentences.

Start reading at ``state_log``. Imports ``wire``.
"""
