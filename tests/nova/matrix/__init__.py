"""What every way into stumble knows of every scenario on every release of Nova, from recordings of real Nova."""
