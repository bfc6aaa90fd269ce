"""The transaction that takes events, decisions and changed rules into the store.

Start reading at ``transaction``. Imports ``outcome``, ``store``, ``wire``.
"""
