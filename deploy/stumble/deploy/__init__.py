"""What runs stumble: the local stack and the command line."""
