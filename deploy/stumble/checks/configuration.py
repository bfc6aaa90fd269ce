"""Check the settings: unknown names, and files with secrets that every user can read."""

from __future__ import annotations

import difflib
import json
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stumble.alerts.settings import AlertSettings
from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.deadletters.settings import DeadLetterSettings
from stumble.projector.settings import ProjectorSettings
from stumble.relay.settings import RelaySettings
from stumble.settings.base import (
    CONFIG_VARIABLE,
    Settings,
    TableSettings,
    secrets_folder,
    unreadable_secrets_folder,
)
from stumble.wire.masking import mask_secrets

__all__ = ["check_configuration"]

#: Variables of the command line, of tests and of Grafana's provisioning; they are not settings of a role.
_OTHERS = {
    "STUMBLE_CONFIG", "STUMBLE_SECRETS_DIR", "STUMBLE_DEBUG", "STUMBLE_CACHE_DIR", "STUMBLE_MAVEN_REPOSITORY",
    "STUMBLE_TRANSPORTS", "STUMBLE_PROMETHEUS_URL", "STUMBLE_DASHBOARDS", "STUMBLE_ALERT_WEBHOOK",
}  # fmt: skip

_TABLES: tuple[type[TableSettings], ...] = (AlertSettings, DeadLetterSettings, ProjectorSettings, RelaySettings)
#: Settings whose names alone do not say whether their values are secrets.
_SECRET_SETTINGS, _PUBLIC_SETTINGS = ("subscription_keys",), ("secrets_dir",)


def check_configuration(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the configuration file and the folder of secrets."""
    path = os.environ.get(CONFIG_VARIABLE)
    if path:
        yield _file(Path(path))
    folder = secrets_folder()
    for secret in sorted(folder.iterdir()) if folder else ():
        if secret.is_file():
            command = f"chown USER {secret} && chmod 600 {secret}"
            todo = f"give it to the user that reads it (root, if a unit has LoadCredential): {command}"
            yield _readable(secret, "every user of this host can read this secret", todo)
    if missing := unreadable_secrets_folder():
        says = "this user may not read secrets_dir, or it does not exist: settings in it are not checked"
        yield warning(str(missing), says, f"run the command as root, or correct secrets_dir in {path}")
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


def _file(path: Path) -> CheckResult:
    """Check the file of settings: services of several users may have to read it, so secrets belong elsewhere."""
    secrets = sorted(_secrets_of(tomllib.loads(path.read_text(encoding="utf-8"))))
    if not secrets:
        return fine(str(path), "contains no secrets")
    todo = (
        "move it to a file of its own in the secrets directory (docs/operations.md, Secrets); or, if only services of "
        f"one user read {path}: chown USER {path} && chmod 600 {path}"
    )
    return _readable(path, f"every user of this host can read {', '.join(secrets)} in it", todo)


def _secrets_of(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the settings in a table whose values are secrets, or contain a password."""
    for name, value in table.items():
        path = f"{prefix}{name}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield from _secrets_of(item, f"{path}.")
            elif path in _SECRET_SETTINGS or (path not in _PUBLIC_SETTINGS and _is_secret(name, item)):
                yield path


def _is_secret(name: str, value: object) -> bool:
    text = json.dumps({name: value}, default=str)
    return bool(value) and mask_secrets(text) != text


def _readable(path: Path, says: str, todo: str) -> CheckResult:
    mode = stat.S_IMODE(path.stat().st_mode)
    # Within a directory that others may not enter, they may not read a file of any mode.
    is_reached = path.parent.stat().st_mode & stat.S_IXOTH
    return wrong(str(path), says, todo) if is_reached and mode & stat.S_IROTH else fine(str(path), f"mode {mode:04o}")
