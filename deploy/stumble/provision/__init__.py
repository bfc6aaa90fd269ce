"""Topics and access rules on the Kafka cluster: planned, compared, applied."""
