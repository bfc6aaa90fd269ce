"""The HTTP API over the failure store: routes and their models.

Start reading at ``failures``. Imports ``alerts``, ``deadletters``, ``metrics``, ``outcome``, ``runtime``, ``settings``,
``signatures``, ``store``, ``wire``.
"""
