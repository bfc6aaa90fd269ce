"""The settings themselves: who may read the files that hold secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from stumble.deploy.checks.model import Finding, Scope, fine, warning, wrong
from stumble.schemas.models.settings import CONFIG_VARIABLE, secrets_folder

__all__ = ["look"]

_SECRET = re.compile(r"password|secret|://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)


def look(scope: Scope) -> Iterator[Finding]:
    """Look at the configuration file and the folder of secrets."""
    path = os.environ.get(CONFIG_VARIABLE)
    if path:
        holds = bool(_SECRET.search(Path(path).read_text(encoding="utf-8", errors="replace")))
        yield _readable(Path(path)) if holds else fine(path, "holds no secrets")
    folder = secrets_folder()
    for secret in sorted(folder.iterdir()) if folder else ():
        if secret.is_file():
            yield _readable(secret)
    if not path and not folder:
        yield fine("environment", "settings come from the environment alone")
    if scope.settings.kafka.topic_replication > 1 and "," not in scope.settings.kafka.bootstrap_servers:
        todo = "name two or more brokers in STUMBLE_KAFKA__BOOTSTRAP_SERVERS"
        yield warning("bootstrap servers", "one broker is named: nothing can start while that one is down", todo)


def _readable(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IROTH:
        return wrong(str(path), "every user of this host can read the secrets in it", f"chmod o-rwx {path}")
    return fine(str(path), f"mode {mode:04o}")
