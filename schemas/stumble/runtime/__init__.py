"""What every process of stumble needs once: log of states, timers, core affinity, errors as sentences."""
