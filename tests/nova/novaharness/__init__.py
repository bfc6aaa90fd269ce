"""Real Nova in one process: the harness of `make nova` and of the tests in tests/nova.

Everything here but `vocabulary` and `scenarios` runs in Nova's own virtual environment (scripts/nova_env.py makes
it) and is started as `python -m novaharness`. It knows nothing of Kafka or the store: Nova and stumble meet in the
outbox.
"""
