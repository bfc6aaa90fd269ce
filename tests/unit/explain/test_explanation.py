"""Explanations of signals in every form: events, roles, rules, records; what is skipped, unreadable or secret."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stumble.explain import json_lines, text
from stumble.explain.explanation import Explanation, explain
from stumble.outcome.deciding_rule import DecidingRule
from tests.unit.explain import samples
from tests.unit.explain.samples import CONTEXT, REQUEST, SERVER


def explained(*documents: object) -> Explanation:
    return explain([document if isinstance(document, str) else json.dumps(document) for document in documents])


def outcomes(explanation: Explanation) -> list[tuple[str | None, str, list[str]]]:
    return [
        (one.record.action, one.record.outcome, [failure.exception for failure in one.record.failures])
        for server in explanation.servers
        for one in server.requests
    ]


def all_text(explanation: Explanation, width: int = 80) -> str:
    lines = [line for server in explanation.servers for line in text.server_lines(server, width)]
    lines += text.events_without_server_lines(explanation.without_server, width)
    return "\n".join([*lines, *text.summary_lines(explanation.summary, width)])


FAILED_STOP: list[tuple[str | None, str, list[str]]] = [("stop", "FAILED", ["InstancePowerOffFailure"])]
SUCCEEDED_STOP: list[tuple[str | None, str, list[str]]] = [("stop", "SUCCEEDED", [])]


def test_report_is_explained_with_the_role_of_each_event_and_the_rule() -> None:
    explanation = explained({"title": "a stop", "steps": samples.steps(samples.failed_stop())})
    assert outcomes(explanation) == FAILED_STOP
    (server,) = explanation.servers
    roles = [server.roles()[event["event_id"]] for event in server.events]
    assert [(one.request, one.role) for one in roles] == [(1, None), (1, None), (1, "failure 1"), (1, "failure 1")]
    assert server.requests[0].decided_by in DecidingRule
    assert "`FAILED`" in server.requests[0].decided_by.value
    assert f"Rule {server.requests[0].decided_by.number}: " in all_text(explanation)
    assert server.requests[0].record.request_id == REQUEST


@pytest.mark.parametrize(
    "form",
    [
        samples.on_rabbit,
        samples.of_management,
        samples.on_kafka,
        samples.in_log,
        lambda message: {"note": message, "context": CONTEXT},
    ],
)
def test_notification_is_read_in_every_form_with_its_context(form) -> None:
    explanation = explained(form(samples.notification()))
    assert outcomes(explanation) == SUCCEEDED_STOP
    record = explanation.servers[0].requests[0].record
    assert (record.request_id, record.initiator_user_id, record.initiator_project_id) == (
        REQUEST,
        "user-1",
        "project-1",
    )


def test_notification_without_an_envelope_is_read() -> None:
    assert outcomes(explained(samples.notification())) == SUCCEEDED_STOP
    assert outcomes(explained([samples.notification()])) == SUCCEEDED_STOP


def test_recordings_of_nova_are_read_line_by_line_and_whole() -> None:
    notification = {"note": samples.notification("service.update"), "context": CONTEXT}
    lines = samples.recorded([*samples.steps(samples.failed_stop()), notification])
    for explanation in (explained(*lines), explained({"scenario": "stop fails", "signals": lines})):
        assert outcomes(explanation) == FAILED_STOP
        assert dict(explanation.summary.signals) == {"call": len(lines) - 1, "notification": 1}


def test_events_are_read_as_explain_prints_them() -> None:
    (server,) = explained({"steps": samples.steps(samples.failed_stop())}).servers
    printed = json_lines.server_object(server)
    as_tail_prints = [{"topic": "instance-actions", "record": event} for event in printed["events"]]
    for lines in (printed["events"], as_tail_prints, [{"folder": "x", "event": event} for event in printed["events"]]):
        again = explained(*lines)
        assert outcomes(again) == FAILED_STOP
        assert again.servers[0].events == server.events


def test_order_and_duplicates_do_not_change_the_explanation() -> None:
    lines = [*samples.steps(samples.failed_stop()), {"note": samples.notification("instance.power_off.start")}]
    expected = explained(*lines).servers[0]
    shuffled = [*lines, *lines]
    random.Random(3).shuffle(shuffled)
    (server,) = explained(*shuffled).servers
    assert (server.events, server.repeated) == (expected.events, len(lines))
    assert [one.record for one in server.requests] == [one.record for one in expected.requests]


def test_failure_without_a_server_is_joined_by_its_request_id() -> None:
    exception = {
        "event_type": "compute.exception",
        "publisher_id": "nova-compute:cmp1",
        "message_id": "m2",
        "timestamp": "2026-05-01 10:00:03",
        "payload": {"nova_object.data": {"exception": "InstancePowerOffFailure", "exception_message": "no"}},
    }
    started = {"note": samples.notification("instance.power_off.start", "m0"), "context": CONTEXT}
    failed = {"note": exception, "context": CONTEXT}
    other = samples.steps([samples.call("action_start", 1, SERVER.replace("1", "2"), action="stop")])[0]
    assert outcomes(explained(failed, started)) == FAILED_STOP
    ambiguous = explained(failed, started, other)
    assert [one[1] for one in outcomes(ambiguous)] == ["IN_PROGRESS", "IN_PROGRESS"]
    assert [event["host"] for event in ambiguous.without_server] == ["cmp1"]
    assert "Events that name no server" in all_text(ambiguous)


def test_skipped_signals_are_listed_with_their_reason() -> None:
    explanation = explained(
        samples.notification("service.update"), samples.notification("service.update"), {"event_type": "x"}
    )
    written = all_text(explanation)
    assert "2 service.update: The event type is known and does not concern an action" in " ".join(written.split())
    assert "1 x: Event type, publisher, message id or time is missing" in written


@pytest.mark.parametrize(
    "bad", ["no json", "7", "[1]", "{}", '{"oslo.message": "no"}', '{"event_id": "1", "source": {}, "phase": "START"}']
)
def test_unreadable_lines_are_counted_with_their_position(bad: str) -> None:
    explanation = explained(samples.notification(), bad, samples.notification(message_id="m2"))
    assert outcomes(explanation) == SUCCEEDED_STOP
    assert explanation.summary.unreadable == 1
    sentence = text.unreadable_sentence(explanation.summary)
    assert sentence is not None
    assert sentence.startswith("1 line is neither a notification nor a call nor an event: - line 2 is ")


def test_secrets_are_masked_in_text_and_json() -> None:
    message = f"cannot connect to amqp://nova:{samples.SECRET}@rabbit1:5672//, password={samples.SECRET}"
    explanation = explained(*samples.steps(samples.failed_stop(message=message)))
    (server,) = explanation.servers
    printed = json.dumps(json_lines.server_object(server))
    (again,) = explained(*json.loads(printed)["events"]).servers
    for written in (all_text(explanation), printed, json.dumps(json_lines.server_object(again))):
        assert samples.SECRET not in written
        assert "rabbit1" in written


def test_secrets_in_events_of_other_emitters_are_masked() -> None:
    (server,) = explained(*samples.steps(samples.failed_stop())).servers
    event = json_lines.server_object(server)["events"][3]
    event["failure"]["message"] = event["failure"]["traceback"] = f"password={samples.SECRET}"
    event["attributes"] = {"admin_password": samples.SECRET}
    explanation = explained(event)
    assert len(explanation.servers) == 1
    assert samples.SECRET not in all_text(explanation) + json.dumps(json_lines.server_object(explanation.servers[0]))


@pytest.mark.parametrize("width", [80, 120])
def test_text_has_no_line_wider_than_the_terminal(width: int) -> None:
    explanation = explained(*samples.steps(samples.failed_stop(message="word " * 200 + "x" * 300)))
    assert max(map(len, all_text(explanation, width).splitlines())) <= width


def test_control_characters_are_not_printed() -> None:
    explanation = explained(*samples.steps(samples.failed_stop(message="\x1b[2J gone\nServer fake")))
    assert "\x1b" not in all_text(explanation)
    assert "\nServer fake" not in all_text(explanation)


NAMES = st.sampled_from(
    [
        *("steps", "tap", "note", "kind", "msg", "call", "oslo.message", "event_type", "event_id", "source", "phase"),
        *("record", "event", "payload", "nova_object.data", "context", "ctxt", "args", "exc", "t", "failure"),
        *("instance_uuid", "function", "occurred_at", "instance", "attributes", "labels", "publisher_id", "message_id"),
        *("timestamp", "uuid", "call_id", "time_us", "action", "step", "exception", "migration", "request_id"),
    ]
) | st.text(max_size=5)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([SERVER, REQUEST, "tap", "notification", "fault", "migration", "START", "stop", samples.T0_US,
                       "instance.power_off.end", "nova-compute:cmp1", "2026-05-01 10:00:05", "9999-12-31T23:59:59Z"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=8), max_leaves=25
)
EVENT = json_lines.server_object(explained(*samples.steps(samples.failed_stop())).servers[0])["events"][3]


def variants(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return signals that differ from a valid one in a few fields."""
    return st.dictionaries(st.sampled_from(sorted(whole)), VALUES, max_size=3).map(lambda changed: whole | changed)


RECORDED = samples.recorded(samples.steps(samples.failed_stop()))[3]
SIGNALS = st.one_of(VALUES, *map(variants, (EVENT, samples.notification(), samples.failed_stop()[3], RECORDED)))
LINES = st.one_of(
    SIGNALS.map(json.dumps), SIGNALS.map(lambda one: json.dumps(one, indent=1)), st.text(), st.binary(max_size=50)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, max_size=6))
def test_any_lines_are_explained_without_an_error(lines: list[str | bytes]) -> None:
    given_lines = [
        part for line in lines for part in (line.splitlines(keepends=True) if isinstance(line, str) else [line])
    ]
    explanation = explain(given_lines)
    assert all_text(explanation)
    for server in explanation.servers:
        json.dumps(json_lines.server_object(server))
    json.dumps(json_lines.input_object(explanation.summary, explanation.without_server))
    text.unreadable_sentence(explanation.summary)
