"""What lies in the dead letter topic: read, counted, sent again."""
