"""What reads instance-action events: derivation, projector, store, alerts, metrics, API, pages."""
