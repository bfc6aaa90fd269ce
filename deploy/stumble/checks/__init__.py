"""`stumble check`: named checks of everything that is configured, each in a function with a time limit.

Start reading at ``catalogue``. Imports ``alerts``, ``bridge``, ``deadletters``, ``kafka``, ``outbox``, ``outcome``,
``projector``, ``provision``, ``relay``, ``runtime``, ``settings``, ``signatures``, ``store``, ``wire``.
"""
