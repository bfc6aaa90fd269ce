"""The contract between producers and consumers: Avro schemas, wire format, ids, taxonomy."""
