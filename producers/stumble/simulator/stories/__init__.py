"""Stories as text, a file a family of actions."""
