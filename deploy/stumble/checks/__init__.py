"""`stumble check`: named checks of everything that the configuration names, each in a function that may not hang."""
