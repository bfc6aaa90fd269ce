"""Stories as text, one file per family of actions."""
