"""Check the settings: unknown names, and files with secrets that every user can read."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

from stumble.alerts.settings import AlertSettings
from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.deadletters.settings import DeadLetterSettings
from stumble.projector.settings import ProjectorSettings
from stumble.relay.settings import RelaySettings
from stumble.settings.base import CONFIG_VARIABLE, Settings, TableSettings, secrets_folder

__all__ = ["check_configuration"]

#: Variables of the command line, of tests and of Grafana's provisioning; they are not settings of a role.
_OTHERS = {
    "STUMBLE_CONFIG", "STUMBLE_SECRETS_DIR", "STUMBLE_DEBUG", "STUMBLE_CACHE_DIR", "STUMBLE_MAVEN_REPOSITORY",
    "STUMBLE_TRANSPORTS", "STUMBLE_PROMETHEUS_URL", "STUMBLE_DASHBOARDS", "STUMBLE_ALERT_WEBHOOK",
}  # fmt: skip

_TABLES: tuple[type[TableSettings], ...] = (AlertSettings, DeadLetterSettings, ProjectorSettings, RelaySettings)
_SECRET = re.compile(r"password|secret|://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)


def check_configuration(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the configuration file and the folder of secrets."""
    path = os.environ.get(CONFIG_VARIABLE)
    if path:
        holds = bool(_SECRET.search(Path(path).read_text(encoding="utf-8", errors="replace")))
        yield _readable(Path(path)) if holds else fine(path, "contains no secrets")
    folder = secrets_folder()
    for secret in sorted(folder.iterdir()) if folder else ():
        if secret.is_file():
            yield _readable(secret)
    if not path and not folder:
        yield fine("environment", "all settings come from the environment")
    yield from _unknown(Path(path) if path else None, folder)
    if scope.settings.kafka.topic_replication > 1 and "," not in scope.settings.kafka.bootstrap_servers:
        todo = "name two or more brokers in STUMBLE_KAFKA__BOOTSTRAP_SERVERS"
        yield warning("bootstrap servers", "only one broker is named: no role can start while it is down", todo)


def _unknown(config: Path | None, folder: Path | None) -> Iterator[CheckResult]:
    """Yield unknown settings: after a typing error the default applies, without an error message."""
    variables = {name for name in os.environ if name.startswith("STUMBLE_")}
    named = {"environment": {name.partition("__")[0] for name in variables}}
    known = {"environment": _variables()}
    fields = set(Settings.model_fields)
    if config:
        named[str(config)] = set(tomllib.loads(config.read_text(encoding="utf-8")))
        known[str(config)] = fields | {"bridge"} | {kind.table() for kind in _TABLES}
    if folder and os.environ.get("STUMBLE_SECRETS_DIR"):  # a folder that systemd makes may contain other credentials
        named[str(folder)] = {path.name.partition("__")[0] for path in folder.iterdir() if path.is_file()}
        known[str(folder)] = fields
    for section, names in named.items():
        for name in sorted(names - known[section]):
            close = difflib.get_close_matches(name, known[section], 1)
            yield warning(section, f"unknown setting {name}", f"did you mean {close[0]}?" if close else "remove it")


def _variables() -> set[str]:
    result = {"STUMBLE_" + name.upper() for name in Settings.model_fields} | _OTHERS
    for kind in _TABLES:
        prefix = str(kind.model_config["env_prefix"])
        result |= {prefix + name.upper() for name in kind.model_fields}
    return result


def _readable(path: Path) -> CheckResult:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IROTH:
        return wrong(str(path), "every user of this host can read the secrets in it", f"chmod o-rwx {path}")
    return fine(str(path), f"mode {mode:04o}")
