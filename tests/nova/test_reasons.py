"""The reason of a failed request never tells its user less than Nova itself does, as the server's fault."""

from __future__ import annotations

import re

import pytest

from stumble.wire.masking import mask_secrets
from tests.nova.conftest import SCENARIOS
from tests.nova.matrix import results
from tests.nova.matrix.recording import RELEASES
from tests.nova.matrix.ways import TAPPED, Way

_WRAPPED = re.compile(r"(?:Build of instance \S+ (?:aborted|was re-scheduled)|.* Last exception): (.*)", re.DOTALL)
_GENERAL = re.compile(
    r"""No valid host was found\.\ $
    | Exceeded\ maximum\ number\ of\ retries\.\ Exhausted\ all\ hosts
    | Failed\ to\ allocate\ the\ network\(s\),\ not\ rescheduling\.$
    | Failure\ getting\ accelerator\ requests\.$
    | Failure\ prepping\ block\ device\.$
    | Failed\ to\ rebuild\ volume\ backed\ instance\.$
    | Unshelve\ attempted\ but\ the\ image\ \S+\ cannot\ be\ found\.$""",
    re.VERBOSE,
)
"""Texts of Nova that name no cause (nova/exception.py, nova/compute/manager.py): a sentence of the cause tells more."""
_ADDRESS = re.compile(r"(?:https?://)?\b\d{1,3}(?:\.\d{1,3}){3}\b\S*")


def comparable(text: str | None) -> str:
    """Return a text as both sides show it: secrets and addresses masked, without line breaks and capitals."""
    masked = _ADDRESS.sub("***", str(mask_secrets(text or "")))
    return " ".join(masked.split()).casefold()


def tells_less(reason: str | None, fault: str) -> bool:
    """Return whether a reason lacks what Nova's fault message tells."""
    wrapped = _WRAPPED.match(fault)
    text = wrapped[1] if wrapped else fault
    if " " not in text.strip():  # a class name: Nova does not show the text of a class that is not its own
        return not reason
    if _GENERAL.match(text) and " " in (reason or "").strip():
        return False
    return comparable(text) not in comparable(reason)


@pytest.mark.parametrize("way", TAPPED, ids=lambda way: way.key)
@pytest.mark.parametrize("release", RELEASES)
def test_reason_tells_no_less_than_novas_fault_message(release: str, way: Way) -> None:
    less = {}
    for name, played in results.by_name(release).items():
        fault = (played.nova_server or {}).get("fault")
        failed = [item for item in results.items_of(release, way)[name] if item["outcome"] == "FAILED"]
        if fault and failed and all(tells_less(item["reason"], fault) for item in failed):
            less[name] = f"Nova: {fault!r}; stumble: {[item['reason'] for item in failed]}"
    assert less == {}


@pytest.mark.parametrize(
    ("fault", "reason", "less"),
    [
        ("Failed to suspend instance: no space", "Failed to suspend instance: no space", False),
        ("Failed to suspend instance: no space", "InstanceSuspendFailure", True),
        ("Failed to suspend instance: no space", "Failed to suspend instance", True),
        ("Build of instance 1 aborted: Volume 2 is busy.", "Volume 2 is busy.", False),
        ("Build of instance 1 aborted: Volume 2 is busy.", "InvalidBDM", True),
        ("Exceeded max scheduling attempts 2 for instance 1. Last exception: No disk", "No disk", False),
        ("Build of instance 1 aborted: Failure prepping block device.", "The volume is busy.", False),
        ("Build of instance 1 aborted: Failure prepping block device.", "libvirtError", True),
        ("Build of instance 1 aborted: boom at http://192.0.2.1:8776/v3", "Boom at ***", False),
        ("libvirtError", "libvirtError", False),
        ("libvirtError", None, True),
    ],
)
def test_reason_that_tells_less(fault: str, reason: str, less: bool) -> None:
    assert tells_less(reason, fault) is less


@pytest.mark.parametrize("release", RELEASES)
def test_recordings_have_the_fault_messages(release: str) -> None:
    with_fault = [one for one in results.recording_of(release).played if (one.nova_server or {}).get("fault")]
    assert len(with_fault) > len(SCENARIOS) // 10
