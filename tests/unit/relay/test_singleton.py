"""One relay per directory, and detection of network file systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.relay.singleton import AlreadyRunning, OutboxUnusable, claim_outbox, network_file_system

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw - nfs4 server:/srv rw
31 30 8:2 / /srv/local\\040disk rw shared:1 - xfs /dev/sdb rw
32 22 0:41 / /cloud rw - fuse.sshfs x rw
"""


def test_second_claim_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    first = claim_outbox(tmp_path / "relay")
    with pytest.raises(AlreadyRunning, match="run one relay per host"):
        claim_outbox(tmp_path / "relay")
    first.close()
    claim_outbox(tmp_path / "relay").close()


def test_path_that_is_not_a_directory_raises_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnusable, match="--outbox-dir"):
        claim_outbox(tmp_path / "file" / "relay")


def test_directory_of_an_older_release_is_refused_until_its_file_is_moved(tmp_path: Path) -> None:
    old = tmp_path / "relay" / "set-aside.jsonl"
    old.parent.mkdir()
    old.write_text("{}\n")
    with pytest.raises(OutboxUnusable, match=r"set-aside\.jsonl.*move the file away"):
        claim_outbox(tmp_path / "relay")
    old.rename(tmp_path / "moved.jsonl")
    claim_outbox(tmp_path / "relay").close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/stumble", None),
        ("/srv/outbox", "nfs4"),
        ("/srv/local disk/outbox", None),
        ("/cloud/x", "sshfs"),
    ],
)
def test_network_file_systems_are_named(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_mounts_of_this_machine_are_readable(tmp_path: Path) -> None:
    assert network_file_system(tmp_path) is None
