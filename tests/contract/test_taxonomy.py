"""Blame depends on the meaning of an exception class, not on its HTTP-like code."""

import pytest

from stumble.wire import taxonomy
from stumble.wire.taxonomy.classify import _CLASSES, _RULES


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
    unknown = {name for name in _CLASSES if taxonomy.classify(name).blame == "UNKNOWN"}
    assert unknown <= taxonomy.WRAPPERS


def test_rules_name_only_existing_classes_and_have_a_reason():
    assert set(_RULES["class"]) <= set(_CLASSES)
    assert set(_RULES["base"]) <= set(_CLASSES) | {"NovaException"}
    assert not set(_RULES["foreign"]) & set(_CLASSES)
    assert all(rule["why"] for section in _RULES.values() for rule in section.values())


@pytest.mark.parametrize(
    ("exception", "message", "reason"),
    [
        ("InstancePowerOffFailure", "Failed to power off instance: x", "Failed to power off instance: x"),
        ("libvirtError", "secret path", "libvirtError"),
        ("RescheduledException", "Build of instance x was re-scheduled: secret", "RescheduledException"),
        ("NoValidHost_Remote", None, "NoValidHost"),
    ],
)
def test_reason_for_users_hides_text_of_foreign_classes_and_wrappers(exception, message, reason):
    assert taxonomy.safe_reason(exception, message) == reason


def test_remote_class_is_read_from_the_message_of_a_remote_error():
    assert taxonomy.remote_class("Remote error: NoValidHost No valid host was found.") == "NoValidHost"
    assert taxonomy.remote_class("something else") is None
