"""What follows from time and silence: requests that stall, and those that a restart interrupted."""
