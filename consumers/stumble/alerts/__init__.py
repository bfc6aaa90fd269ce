"""The alerter: publishes failures, outcomes and corrections; evaluates alert rules and notifies receivers.

Start reading at ``build``. Imports ``metrics``, ``outcome``, ``runtime``, ``settings``, ``store``, ``wire``.
"""
