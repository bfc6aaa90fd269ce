"""Real Nova services as processes of their own: what runs inside Nova's environment."""
