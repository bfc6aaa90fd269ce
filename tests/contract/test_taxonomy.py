"""Blame depends on the meaning of an exception class, not on its HTTP-like code."""

import pytest

from stumble.wire import taxonomy
from stumble.wire.taxonomy.classify import _CLASSES, _RULES
from stumble.wire.taxonomy.libraries import library_classes, owners_of

AMBIGUOUS = sorted(set(_CLASSES) & set(library_classes()))


@pytest.mark.parametrize(
    ("exception", "code", "blame"),
    [
        ("NoValidHost", 500, "CAPACITY"),
        ("FlavorDiskTooSmall", 500, "USER"),
        ("FlavorDiskSmallerThanImage", 500, "USER"),
        ("PortBindingFailed_Remote", 400, "DEPENDENCY"),
        ("InstancePowerOffFailure", 400, "OPERATOR"),
        ("ComputeResourcesUnavailable", 400, "CAPACITY"),
        ("InstanceNotFound", 404, "OPERATOR"),
        ("TooManyInstances", 413, "USER"),
        ("libvirtError", None, "OPERATOR"),
        ("MessagingTimeout_Remote", None, "DEPENDENCY"),
        ("SomethingNobodyKnows", None, "UNKNOWN"),
    ],
)
def test_classify_returns_code_and_blame(exception, code, blame):
    classified = taxonomy.classify(exception)
    assert (classified.code, classified.blame) == (code, blame)


def test_every_class_of_nova_except_wrappers_has_a_blame():
    unknown = {name for name in _CLASSES if taxonomy.classify(name, "nova.exception").blame == "UNKNOWN"}
    assert unknown <= taxonomy.WRAPPERS


def test_rules_name_only_existing_classes_and_have_a_reason():
    assert set(_RULES["class"]) <= set(_CLASSES)
    assert set(_RULES["base"]) <= set(_CLASSES) | {"NovaException"}
    assert not set(_RULES["foreign"]) & set(_CLASSES)
    for library, name in (row.split(".") for row in _RULES["foreign"] if "." in row):
        assert library in _RULES["library"]
        assert library in owners_of(name)
    assert {library for owners in library_classes().values() for library in owners} <= set(_RULES["library"])
    assert all(rule["why"] for section in _RULES.values() for rule in section.values())


@pytest.mark.parametrize(
    ("exception", "is_shown"),
    [
        ("InstancePowerOffFailure", True),
        ("libvirtError", False),
        ("RescheduledException", False),
        ("BuildAbortException", True),
        ("NotFound", False),
        ("NoValidHost_Remote", True),
    ],
)
def test_users_see_no_text_of_foreign_classes_and_wrappers(exception, is_shown):
    assert taxonomy.shows_text(exception) is is_shown


def test_remote_class_is_read_from_the_message_of_a_remote_error():
    assert taxonomy.remote_class("Remote error: NoValidHost No valid host was found.") == "NoValidHost"
    assert taxonomy.remote_class("something else") is None


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_shared_name_is_novas_only_in_novas_module(name):
    for library in owners_of(name):
        module = f"{library}.exceptions"
        assert not taxonomy.is_nova(name, module)
        assert taxonomy.classify(name, module).blame == _RULES["library"][library]["blame"]
        assert taxonomy.classify(name, module).code is None
    assert taxonomy.is_nova(name, "nova.exception")
    assert taxonomy.is_nova(name, "nova.exception_Remote")
    assert not taxonomy.is_nova(name)
    assert not taxonomy.shows_text(name)
    assert taxonomy.shows_text(name, "nova.exception")


def test_names_that_public_reports_confused_are_shared():
    assert {"NotFound", "ServiceUnavailable", "Unauthorized", "Forbidden", "ImageNotFound", "Invalid"} <= set(AMBIGUOUS)


@pytest.mark.parametrize("name", sorted(library_classes()))
def test_every_class_of_a_library_has_a_blame_by_its_module(name):
    for library in owners_of(name):
        known = taxonomy.classify(name, library)
        assert known.blame != "UNKNOWN" or name in taxonomy.WRAPPERS
        assert not known.is_nova


@pytest.mark.parametrize(
    ("exception", "module", "blame"),
    [
        ("ClientException", "cinderclient.exceptions", "DEPENDENCY"),
        ("NewerThanThisRelease", "neutronclient.common.exceptions", "DEPENDENCY"),
        ("ImageNotFound", "rbd", "OPERATOR"),
        ("OSError", "rbd", "OPERATOR"),
        ("Timeout", "rbd", "OPERATOR"),
        ("Timeout", "requests.exceptions", "DEPENDENCY"),
        ("NotFound", "os_brick.exception", "OPERATOR"),
        ("NoSuchMethod", "oslo_messaging.rpc.dispatcher", "OPERATOR"),
        ("ProjectOverLimit", "oslo_limit.exception", "USER"),
        ("InstanceEventTimeout", "nova.exception", "DEPENDENCY"),
        ("KeyError", "exceptions", "OPERATOR"),  # Python 2
        ("NotFound", "unknown_library", "UNKNOWN"),
        # By name alone: only where all classes of this name have one blame.
        ("ClientException", None, "DEPENDENCY"),
        ("ProcessExecutionError", None, "OPERATOR"),
        ("Timeout", None, "UNKNOWN"),
        ("NotFound", None, "UNKNOWN"),
    ],
)
def test_blame_of_a_foreign_class_depends_on_its_library(exception, module, blame):
    assert taxonomy.classify(exception, module).blame == blame


@pytest.mark.parametrize(
    ("exception", "frame", "module"),
    [
        ("VolumeNotFound", "nova.volume.cinder", "nova"),
        ("NotFound", "cinderclient.client", "cinderclient.client"),
        ("NotFound", "oslo_messaging._drivers.amqpdriver", "oslo_messaging._drivers.amqpdriver"),
        ("NotFound_Remote", "oslo_messaging._drivers.amqpdriver", "nova"),
        ("VolumeNotFound", "oslo_messaging._drivers.amqpdriver", "nova"),
        ("KeyError", "cinderclient.client", "builtins"),
        ("OSError", "rbd", "rbd"),
        ("ConnectFailure", "urllib3.connectionpool", "keystoneauth1"),
        ("Newer", "neutronclient.v2_0.client", "neutronclient.v2_0.client"),
        ("NotFound", None, None),
    ],
)
def test_frame_shows_the_module_of_a_class(exception, frame, module):
    assert taxonomy.module_of_class(exception, frame) == module


def test_text_of_a_library_is_shown_only_if_nova_shows_it():
    assert taxonomy.shows_text("PlugException", "os_vif.exception")
    assert taxonomy.shows_text("SignatureVerificationError")
    assert not taxonomy.shows_text("SignatureVerificationError", "cinderclient.exceptions")
    assert not taxonomy.shows_text("ClientException", "cinderclient.exceptions")


@pytest.mark.parametrize("exception", ["libvirtError", "OSError", "ProcessExecutionError", "ClientException", "Newer"])
def test_class_is_described_in_a_sentence_for_users(exception):
    text = taxonomy.describe_class(exception, taxonomy.classify(exception).blame)
    assert text.startswith(f"{exception}: ")
    assert text.endswith("; the operator can see why.")
