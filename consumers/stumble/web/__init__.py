"""The web pages: rendered here, with little script and no build step.

Start reading at ``pages``. Imports ``api``, ``outcome``, ``runtime``, ``settings``, ``wire``.
"""
