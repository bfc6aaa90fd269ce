"""Derives requests, failures and outcomes from facts: one pure function, with the rules of all actions in one table.

Start reading at ``derive``. Imports ``wire``.
"""
