"""What the failure of an event says: identity of the class, blame, and the text for the project's users."""

from __future__ import annotations

import pytest

from stumble.outcome.facts import sighting
from stumble.translate import read_notification, read_tap
from stumble.wire.taxonomy import shows_text
from stumble.wire.taxonomy.classify import known_classes
from stumble.wire.taxonomy.libraries import library_classes
from tests.unit.translate import samples
from tests.unit.translate.samples import CONTEXT, UUID, legacy, versioned, wrapped

SHARED = sorted(set(known_classes()) & set(library_classes()))
URL = "nothing at http://192.0.2.20:8776/v3/attachments (HTTP 404)"
VOLUME = "Volume v did not finish being created even after we waited 187 seconds or 61 attempts."
ABORTED = f"Build of instance {UUID} aborted: {VOLUME}"


def shown_of(library: str, name: str) -> str:
    """Return the reason for users of a class of a library: a few libraries have ``format_message``, like Nova."""
    return URL if shows_text(name, library) else name


def failure_of(message: dict) -> dict:
    (event,) = read_notification(message, CONTEXT).events
    return event["failure"]


def by_version(name: str, text: str, module: str | None, traceback: str | None = None) -> dict:
    payload = wrapped(
        "ExceptionPayload",
        exception=name,
        exception_message=text,
        module_name=module,
        function_name="f",
        traceback=traceback,
    )
    return failure_of(versioned("instance.volume_attach.error", fault=payload))


def by_method(exception: str) -> dict:
    return failure_of(
        samples.envelope(
            "attach_volume", {"exception": exception, "args": {"instance": {"uuid": UUID}}}, "compute.host1"
        )
    )


@pytest.mark.parametrize("name", SHARED)
def test_shared_name_is_novas_only_if_the_signal_shows_it(name: str):
    owners = library_classes()[name]
    for library in owners:
        failure = by_version(name, URL, f"{library}.client")
        assert (failure["reason"], failure["code"]) == (shown_of(library, name), None)
        assert failure["blame"] in {"DEPENDENCY", "OPERATOR", "USER"}
    # The frame that raised may be Nova's while the class is not, and the other way round; the traceback decides.
    raised = f'Traceback (most recent call last):\n,  File "x", line 1, in f\n,{owners[0]}.exceptions.{name}: {URL}\n'
    failure = by_version(name, URL, "nova.volume.cinder", raised)
    assert (failure["reason"], failure["module"]) == (shown_of(owners[0], name), f"{owners[0]}.exceptions")
    raised = f'Traceback (most recent call last):\n,  File "x", line 1, in f\n,nova.exception.{name}: gone\n'
    assert by_version(name, "gone", f"{owners[0]}.client", raised)["reason"] == "gone"
    # Legacy: Nova's classes look like a dict, any other like a call.
    assert by_method(f"{name}({URL!r})")["reason"] == name
    text = f"{{'kwargs': {{'code': 404}}, 'message': 'gone', 'class': '{name}'}}"
    assert by_method(text)["reason"] == "gone"
    # A call of the tap has the module of the class.
    call = {"kind": "fault", "call_id": "c", "time_us": samples.TIME_US, "instance_uuid": UUID}
    for module, reason in (
        (f"{owners[0]}.exceptions", shown_of(owners[0], name)),
        ("nova.exception", URL),
        (None, name),
    ):
        exception = {"class": name, "module": module, "message": URL}
        (event,) = read_tap(call | {"exception": exception}, CONTEXT).events
        assert event["failure"]["reason"] == reason


def test_class_name_beside_a_legacy_exception_proves_that_nova_shows_no_text():
    message = legacy("compute.instance.create.error", exception=f"VolumeNotFound({URL!r})", message="VolumeNotFound")
    assert failure_of(message)["reason"] == "VolumeNotFound"


def test_text_beside_a_legacy_exception_counts_only_with_novas_form():
    message = legacy("compute.instance.create.error", exception=f"NotFound({URL!r})", message=URL)
    assert failure_of(message)["reason"] == "NotFound"
    text = f"{{'kwargs': {{'code': 404}}, 'message': '{'x' * 300}', 'class': 'NewerThanThisRelease'}}"
    failure = failure_of(legacy("compute.instance.create.error", exception=text, message="x" * 255, code=404))
    assert failure["reason"] == "x" * 300


def test_class_of_a_notification_of_python_2_is_not_taken_for_pythons_own():
    raised = f'Traceback (most recent call last):\n  File "x", line 1, in f\nNotFound: {URL}\n'
    failure = by_version("NotFound", URL, "cinderclient.client", raised)
    assert (failure["reason"], failure["blame"]) == ("NotFound", "DEPENDENCY")
    raised = f'Traceback (most recent call last):\n  File "x", line 1, in f\nVolumeNotFound: {VOLUME}\n'
    assert by_version("VolumeNotFound", VOLUME, "nova.volume.cinder", raised)["reason"] == VOLUME


def test_cause_that_a_wrapper_quotes_decides_before_one_of_the_clean_up():
    exception = {
        "class": "BuildAbortException",
        "module": "nova.exception",
        "message": f"Build of instance {UUID} aborted: Connection to the hypervisor is broken on host",
        "chain": [
            {"class": "InstanceTerminationFailure", "module": "nova.exception", "message": "it can't be stopped"},
            {
                "class": "HypervisorUnavailable",
                "module": "nova.exception",
                "message": "Connection to the hypervisor is broken on host",
            },
        ],
    }
    call = {"kind": "fault", "call_id": "c", "time_us": samples.TIME_US, "instance_uuid": UUID}
    (event,) = read_tap(call | {"exception": exception}, CONTEXT).events
    failure = event["failure"]
    assert failure["chain"] == ["HypervisorUnavailable", "InstanceTerminationFailure"]
    assert failure["reason"] == exception["message"]


def test_reason_ends_at_the_remote_class_that_novas_text_quotes():
    text = (
        "Error while check_can_live_migrate_source from host1 to host host2: RemoteError Remote error: libvirtError "
        "internal error: client socket is closed\n['Traceback (most recent call last):\\n', '  File \"x\"\\n']"
    )
    failure = by_version("MigrationPreCheckError", text, "nova.compute.manager")
    assert failure["reason"] == text.partition(" internal")[0]
    assert failure["message"] == text
    assert sighting(failure, None, {}).chain == ("libvirtError",)


CHAIN = (
    'Traceback (most recent call last):\n  File "a", line 1, in a\nnova.exception.VolumeNotCreated: {volume}\n'
    "\nDuring handling of the above exception, another exception occurred:\n\n"
    'Traceback (most recent call last):\n  File "b", line 1, in b\nnova.exception.InvalidBDM: {volume}\n'
    "\nDuring handling of the above exception, another exception occurred:\n\n"
    'Traceback (most recent call last):\n  File "c", line 1, in c\nnova.exception.BuildAbortException: {outer}\n'
)


def test_cause_inside_wrappers_decides_and_the_wrapper_that_nova_shows_tells():
    failure = by_version(
        "BuildAbortException", ABORTED, "nova.compute.manager", CHAIN.format(volume=VOLUME, outer=ABORTED)
    )
    assert (failure["exception"], failure["chain"]) == ("BuildAbortException", ["InvalidBDM", "VolumeNotCreated"])
    assert (failure["blame"], failure["reason"]) == ("DEPENDENCY", ABORTED)


def test_text_of_the_cause_follows_a_wrapper_that_does_not_quote_it():
    outer = "Build of instance aborted: Failed to allocate the network(s), not rescheduling."
    failure = by_version("BuildAbortException", outer, None, CHAIN.format(volume=VOLUME, outer=outer))
    assert failure["reason"] == f"{outer} Cause: {VOLUME}"


def test_chain_of_names_takes_texts_from_the_traceback_of_the_call():
    call = {"kind": "fault", "call_id": "c", "time_us": samples.TIME_US, "instance_uuid": UUID}
    exception = {
        "class": "RescheduledException",
        "module": "nova.exception",
        "message": f"Build of instance was re-scheduled: {URL}",
        "chain": ["VolumeNotCreated"],
        "traceback": CHAIN.format(volume=VOLUME, outer=ABORTED).partition("\nDuring")[0]
        + "\nThe above exception was the direct cause of the following exception:\n\n"
        + 'Traceback (most recent call last):\n  File "c", line 1, in c\nnova.exception.RescheduledException: x\n',
    }
    (event,) = read_tap(call | {"exception": exception}, CONTEXT).events
    assert (event["failure"]["reason"], event["failure"]["blame"]) == (VOLUME, "DEPENDENCY")


def test_text_that_nova_records_in_place_of_the_exceptions_is_the_reason():
    """``add_instance_fault_from_exc(…, fault_message=…)``: the last host of a create, a shelved image that is gone."""
    call = {"kind": "fault", "call_id": "c", "time_us": samples.TIME_US, "instance_uuid": UUID}
    exception = {
        "class": "RescheduledException",
        "module": "nova.exception",
        "message": "Build of instance was re-scheduled: disk full",
        "user_message": "Build of instance was re-scheduled: disk full",
        "chain": [{"class": "OSError", "module": "builtins", "message": "disk full", "user_message": None}],
    }
    (event,) = read_tap(call | {"exception": exception}, CONTEXT).events
    assert event["failure"]["reason"] == "OSError"
    (event,) = read_tap(call | {"exception": exception | {"fault_message": "disk full"}}, CONTEXT).events
    assert (event["failure"]["reason"], event["failure"]["blame"]) == ("disk full", "OPERATOR")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (("libvirtError", "libvirt", "internal error: /var/lib/x"), "MigrationError"),
        (
            ("PortBindingFailed", "nova.exception", "Binding failed for port p"),
            "Migration error: Binding failed for port p",
        ),
    ],
)
def test_text_of_a_librarys_exception_that_the_conductor_quotes_is_hidden(cause: tuple[str, str, str], reason: str):
    """nova/conductor/manager.py, ``_live_migrate``: the fault is that of the cause, by Nova's rule for users."""
    name, module, text = cause
    call = {"kind": "event_finish", "call_id": "c", "time_us": samples.TIME_US, "instance_uuid": UUID, "failed": True}
    exception = {
        "class": "MigrationError",
        "module": "nova.exception",
        "message": f"Migration error: {text}",
        "user_message": f"Migration error: {text}",
        "chain": [{"class": name, "module": module, "message": text, "user_message": None}],
    }
    (event,) = read_tap(call | {"exception": exception}, CONTEXT).events
    assert event["failure"]["reason"] == reason


def test_remote_mark_is_an_attribute_of_the_event():
    message = "too old\nTraceback (most recent call last):\n\n  File x\n\nnova.exception.InvalidCPUInfo: too old\n"
    payload = wrapped(
        "ExceptionPayload",
        exception="InvalidCPUInfo_Remote",
        exception_message=message,
        module_name="oslo_messaging._drivers.amqpdriver",
        function_name="f",
        traceback=None,
    )
    (event,) = read_notification(versioned("instance.create.error", fault=payload), CONTEXT).events
    assert (event["failure"]["reason"], event["attributes"]["remote"]) == ("too old", "true")
    local = wrapped("ExceptionPayload", exception="InvalidCPUInfo", exception_message="x", module_name="nova.x")
    (event,) = read_notification(versioned("instance.create.error", fault=local), CONTEXT).events
    assert "remote" not in event["attributes"]
