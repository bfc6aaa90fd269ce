"""Checks that hang, raise or lack a library give results; secrets are masked."""

import importlib
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from stumble.bridge.settings import TransportSettings
from stumble.checks.catalogue import CHECKS
from stumble.checks.clocks import compare_clock
from stumble.checks.model import Check, CheckContext, CheckedElsewhere, CheckLevel, fine, wrong
from stumble.checks.mounts import mount_of
from stumble.checks.novaconf import transports_of
from stumble.checks.runner import run_checks, select_checks
from stumble.checks.secrecy import Secrets
from stumble.settings.base import Settings
from stumble.settings.kafka import KafkaSettings
from stumble.wire.errors import StumbleError

NEVER = threading.Event()


def hang(_):
    NEVER.wait()
    yield fine("x", "never")


def fail(_):
    yield fine("first", "seen")
    raise ValueError("out of the blue")


def import_missing_library(_):
    importlib.import_module("a_library_that_is_nowhere")


def fail_elsewhere(_):
    raise CheckedElsewhere("base", "no answer", "start it")


def report_secrets(scope):
    yield wrong(scope.database, "password authentication of s3cret-pw failed", "try s3cret-pw")


def check(function, name="one", seconds=5, applies=lambda _: True, without=""):
    """Return a check with the given function."""
    return SimpleNamespace(
        load=lambda: function, name=name, seconds=seconds, applies=applies, without=without, extra="relay"
    )


def scope(**more):
    return CheckContext(Settings(database_url="postgresql://u:s3cret-pw@db/x"), **more)


def test_hanging_check_is_abandoned_after_its_timeout_and_others_are_reported():
    hanging, other = run_checks([check(hang, seconds=0.3), check(lambda _: [fine("a", "b")], "two")], scope())
    assert hanging.level is CheckLevel.WRONG
    assert "given up" in hanging.findings[0].says
    assert other.level is CheckLevel.FINE


def test_check_that_raises_or_lacks_a_library_gives_a_result():
    failed, lacking = run_checks([check(fail), check(import_missing_library, "two")], scope())
    assert [item.level for item in failed.findings] == [CheckLevel.FINE, CheckLevel.WRONG]
    assert "out of the blue" in failed.findings[1].says
    assert lacking.findings[0].todo.endswith("pip install -r relay.txt")
    assert lacking.level is CheckLevel.SKIPPED


def test_check_is_skipped_if_another_check_reports_the_same_error():
    (single,) = run_checks([check(fail_elsewhere)], scope())
    assert (single.level, single.findings[0].todo) == (CheckLevel.WRONG, "start it")
    _, skipped = run_checks([check(lambda _: [], "base"), check(fail_elsewhere)], scope())
    assert skipped.level is CheckLevel.SKIPPED


def test_unconfigured_check_is_skipped_unless_requested():
    absent = check(lambda _: [fine("a", "looked at")], applies=lambda _: False, without="none here")
    assert run_checks([absent], scope())[0].findings[0].says == "none here"
    assert run_checks([absent], scope(asked=frozenset({"one"})))[0].findings[0].says == "looked at"


def test_secrets_are_masked_in_results():
    (result,) = run_checks([check(report_secrets)], scope())
    assert "s3cret-pw" not in repr(result.findings)
    assert "password authentication of *** failed" in result.findings[0].says


def test_secrets_of_all_settings_are_collected():
    kafka = KafkaSettings(
        schema_registry_url="https://r:in%2Durl@registry",
        schema_registry_password="of-registry",
        options={"sasl.password": "of-sasl", "ssl.key.password": "of-key", "sasl.username": "harmless"},
    )
    buses = (TransportSettings(name="bus", url="rabbit://a:first-pw@h1:5672,b:second-pw@h2:5672/v"),)
    settings = Settings(kafka=kafka, database_url="host=db user=u password='with space'")
    values = set(Secrets.of(CheckContext(settings, transports=buses)).values)
    assert {"in-url", "of-registry", "of-sasl", "of-key", "first-pw", "second-pw", "with space"} <= values
    assert "harmless" not in values


def test_check_names_are_unique_and_can_be_chosen():
    assert len({item.name for item in CHECKS}) == len(CHECKS)
    assert [item.name for item in select_checks(["topics", "outbox"], CHECKS)] == ["outbox", "topics"]
    with pytest.raises(StumbleError, match="--list"):
        select_checks(["cook"], CHECKS)
    for item in CHECKS:
        assert callable(item.load())


MOUNTS = """\
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
30 22 0:40 / /var/lib/stumble rw - nfs4 server:/x rw
31 30 0:41 / /var/lib/stumble/out\\040box ro,nosuid - ext4 /dev/vdb rw
32 22 0:42 / /run rw - tmpfs tmpfs rw
33 22 0:43 / /mnt rw - fuse.sshfs host:/ rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc", ("/", "ext4", False)),
        ("/var/lib/stumble/outbox", ("/var/lib/stumble", "nfs4", False)),
        ("/var/lib/stumble/out box/uid-1", ("/var/lib/stumble/out box", "ext4", True)),
        ("/run/stumble", ("/run", "tmpfs", False)),
        ("/mnt/../mnt/x", ("/mnt", "sshfs", False)),
        ("/runner", ("/", "ext4", False)),
    ],
)
def test_mount_of_a_path_is_the_innermost_mount_point(path, expected):
    assert mount_of(Path(path), MOUNTS) == expected


@pytest.mark.parametrize(
    ("remote_time", "level", "word"),
    [(100.2, "fine", "within"), (95.0, "warning", "behind"), (103.5, "warning", "ahead"), (160.0, "wrong", "ahead")],
)
def test_clock_difference_allows_for_the_time_of_the_round_trip(remote_time, level, word):
    result = compare_clock("broker", remote_time, 100.0, 100.4)
    assert (result.level, word in result.says) == (level, True)


def test_transports_are_read_from_nova_conf(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text(
        "[DEFAULT]\ntransport_url = rabbit://u:p%w@h1:5672/\n[oslo_messaging_notifications]\ndriver = messagingv2\n"
        "driver = stumble\ntopics = notifications,searchlight\n[oslo_messaging_rabbit]\nssl = true\n"
    )
    (result,) = transports_of(path)
    assert result.url.get_secret_value() == "rabbit://u:p%w@h1:5672/"
    assert result.topics == ("notifications", "searchlight", "versioned_notifications")
    assert result.options == {"ssl": "true"}
    path.write_text("[DEFAULT]\ntransport_url = rabbit://h/\n[oslo_messaging_notifications]\ndriver = stumble\n")
    assert list(transports_of(path)) == []
    path.write_text("[oslo_messaging_notifications]\ndriver = messagingv2\n")
    with pytest.raises(StumbleError, match="--transport"):
        list(transports_of(path))


def test_concurrent_imports_of_a_package_and_its_module_succeed(tmp_path, monkeypatch):
    package = tmp_path / "imported_by_two"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import time\ntime.sleep(0.3)\nfrom imported_by_two.part import look as look_too\n"
    )
    (package / "other.py").write_text("")
    (package / "part.py").write_text(
        "from imported_by_two import other\nfrom stumble.checks.model import fine\n\n"
        "def look(_):\n    yield fine('x', '')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    targets = ("imported_by_two:look_too", "imported_by_two.part:look") * 3
    results = run_checks([Check(str(number), "", target, "cli") for number, target in enumerate(targets)], scope())
    assert [one.level for one in results] == [CheckLevel.FINE] * 6, [one.findings for one in results]
