"""What emits instance-action events: outbox, relay, Nova driver, library, simulator."""
