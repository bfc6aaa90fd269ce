"""How much disk and how many partitions a cloud needs, from measured bytes (`measured.toml`).

Start reading at ``plan``. Imports no other package.
"""
