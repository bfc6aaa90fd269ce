"""Reading Kafka: a consumer that is told where to read from, and the client's errors in plain words."""
