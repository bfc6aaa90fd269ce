"""Signatures of Kafka records: the relay signs with the private key of its host, consumers verify with public keys.

Start reading at ``record_signature``. Imports ``runtime``, ``wire``.
"""
