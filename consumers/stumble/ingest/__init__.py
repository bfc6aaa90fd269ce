"""The transaction that writes events, decisions and the results of changed rules to the store.

Start reading at ``transaction``. Imports ``outcome``, ``signatures``, ``store``, ``wire``.
"""
