"""The HTTP process: API and web pages in one application.

Start reading at ``app``. Imports ``api``, ``settings``, ``store``, ``web``, ``wire``.
"""
