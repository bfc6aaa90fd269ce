"""Real Nova services as separate processes: the code that runs inside Nova's environment."""
