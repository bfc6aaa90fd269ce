"""What stumble derives from every signal path, per scenario and release of Nova, from recordings of real Nova."""
