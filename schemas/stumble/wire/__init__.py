"""The contract of both halves: Avro schemas, codec, ids, headers, topics, taxonomy of Nova's exceptions.

Standard library and fastavro only, since Nova's processes load it.

Start reading at ``schemas``. Imports no other package.
"""
