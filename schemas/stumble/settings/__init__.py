"""What people configure: settings from file, environment and secrets folder; the schema registry's client."""
