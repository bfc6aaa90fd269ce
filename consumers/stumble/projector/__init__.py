"""The projector: reads events from Kafka and keeps the failure store, one PostgreSQL transaction a batch."""
