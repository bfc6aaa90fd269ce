"""Where alerts and messages go: Alertmanager, webhooks."""
