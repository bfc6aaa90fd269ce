"""Blame follows what a class means, not its HTTP-like code."""

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
        ("InstanceNotFound", 404, "RACE"),
        ("TooManyInstances", 413, "USER"),
        ("libvirtError", None, "OPERATOR"),
        ("MessagingTimeout_Remote", None, "DEPENDENCY"),
        ("SomethingNobodyKnows", None, "UNKNOWN"),
    ],
)
def test_classify(exception, code, blame):
    found = taxonomy.classify(exception)
    assert (found.code, found.blame) == (code, blame)


def test_every_class_of_nova_has_a_blame_but_the_wrappers():
    unknown = {name for name in _CLASSES if taxonomy.classify(name).blame == "UNKNOWN"}
    assert unknown <= taxonomy.WRAPPERS


def test_rules_name_only_classes_that_nova_has_and_say_why():
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
def test_users_see_only_safe_text(exception, message, reason):
    assert taxonomy.safe_reason(exception, message) == reason


def test_remote_error_names_its_class():
    assert taxonomy.remote_class("Remote error: NoValidHost No valid host was found.") == "NoValidHost"
    assert taxonomy.remote_class("something else") is None
