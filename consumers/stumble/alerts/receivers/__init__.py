"""Receivers of alerts and messages: Alertmanager and webhooks."""
