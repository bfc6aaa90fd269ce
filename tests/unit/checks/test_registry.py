"""`stumble check registry`: what it reports of a registry's subjects, and of an address that is no registry."""

from __future__ import annotations

from typing import Any

import pytest

from stumble.checks.model import CheckContext, CheckResult
from stumble.checks.registry import check_registry
from stumble.settings.base import Settings
from stumble.settings.kafka import KafkaSettings
from stumble.wire.schemas import EVENT
from tests.support.registry import NOT_FOUND, registry_with

NAME = "instance-actions-value"
#: Path to answer.
Answers = dict[str, Any]
GOOD: Answers = {
    f"/subjects/{NAME}/versions": [1],
    f"/subjects/{NAME}/versions/1": {"schema": EVENT.json},
    f"/compatibility/subjects/{NAME}/versions/latest": {"is_compatible": True},
    f"/config/{NAME}?defaultToGlobal=true": {"compatibilityLevel": "FULL_TRANSITIVE"},
}


def check(answers: Answers) -> list[CheckResult]:
    """Return the results for the events' subject, or for the registry as a whole."""
    with registry_with(answers) as url:
        context = CheckContext(Settings(kafka=KafkaSettings(schema_registry_url=url)))
        return [one for one in check_registry(context) if one.subject in (NAME, "registry")]


def in_unit(unit: str) -> str:
    return EVENT.json.replace("timestamp-micros", unit)


@pytest.mark.parametrize(
    ("changed", "level", "says"),
    [
        ({}, "fine", "accepts this program's"),
        ({f"/config/{NAME}?defaultToGlobal=true": {"compatibilityLevel": "BACKWARD"}}, "warning", "is BACKWARD"),
        ({f"/compatibility/subjects/{NAME}/versions/latest": {"is_compatible": False}}, "wrong", "not compatible"),
        ({f"/subjects/{NAME}/versions": []}, "wrong", "lost its schemas"),
        ({f"/subjects/{NAME}/versions": NOT_FOUND}, "wrong", "lost its schemas"),
        (
            {f"/subjects/{NAME}/versions": "<title>Sign in</title>"},
            "wrong",
            "is no schema registry (status 200, text/html)",
        ),
        ({f"/config/{NAME}?defaultToGlobal=true": {}}, "wrong", "(status 200, application/json)"),
    ],
)
def test_subject_is_reported(changed: Answers, level: str, says: str) -> None:
    (result,) = check(GOOD | changed)
    assert (result.level, says in result.says) == (level, True), result
    assert (result.todo != "") == (level != "fine")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (in_unit("local-timestamp-micros"), "has local-timestamp-micros, where this program needs timestamp-micros"),
        ('{"type": "record", "name": "x.Y", "fields": [{"name": "a", "type": "int"}]}', "version 2: it is not a"),
        ("no schema", "version 2: it cannot be parsed"),
        (in_unit("timestamp-millis"), None),
    ],
    ids=["local time", "other record", "no schema", "milliseconds"],
)
def test_version_that_consumers_do_not_read_is_a_warning(text: str, says: str | None) -> None:
    second = {f"/subjects/{NAME}/versions": [1, 2], f"/subjects/{NAME}/versions/2": {"schema": text}}
    _, *others = check(GOOD | second)
    assert [one.level for one in others] == (["warning"] if says else [])
    assert all(says in one.says for one in others if says)
