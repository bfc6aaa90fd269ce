"""Wire layer: Avro schemas, codec, ids, headers, topics, taxonomy. Standard library and fastavro only."""
