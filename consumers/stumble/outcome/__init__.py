"""From facts to requests, failures and outcomes: one pure function, with the rules of all actions in one table.

Start reading at ``derive``. Imports ``wire``.
"""
