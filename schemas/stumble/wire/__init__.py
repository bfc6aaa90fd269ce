"""The contract between producers and consumers: Avro schemas, codec, ids, headers, topics, failure taxonomy.

Standard library and fastavro only, since Nova's processes load it.

Start reading at ``schemas``. Imports no other package.
"""
