"""The script that finds early returns and swallowed exceptions, on small managers."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from scripts.nova_early_returns import Declaration, differences, findings_of, main, page

DECLARED = """
    [outside]
    [only]
    [methods."compute.stop".decides]
    "return if gone" = "the state"
"""


def nova_with(folder: Path, methods: str, shares: str = "") -> Path:
    """Write a package whose compute manager has these methods; return its folder."""
    sources = {
        "compute/manager.py": "class ComputeManager:\n" + indent(methods, "    "),
        "conductor/manager.py": "class ComputeTaskManager:\n    pass\n",
    }
    if shares:
        sources["compute/share_management.py"] = "class ShareManager:\n" + indent(shares, "    ")
    for name, text in sources.items():
        path = folder / "nova" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "nova"


def step(body: str) -> str:
    """Return a method that is a step."""
    return "@wrap_instance_event(prefix='compute')\ndef stop(self):\n" + indent(body, "    ") + "\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("if gone:\n    return\nwork()", {"return if gone"}),
        ("if gone:\n    return FAILED\nwork()", {"return FAILED if gone"}),
        ("if gone:\n    work()\nelse:\n    return\nwork()", {"return if not (gone)"}),
        ("def do():\n    if gone:\n        return\n    work()\ndo()", {"return if gone"}),
        ("def helper():\n    if gone:\n        return 1\n    return 2\nwork()", set()),
        ("work()\nreturn result", set()),
        ("with lock:\n    return result", set()),
        ("try:\n    return result\nexcept A:\n    raise", set()),
        ("with lock:\n    return early\nwork()", {"return early"}),
        ("for one in gone:\n    return", {"return"}),
        ("try:\n    work()\nexcept NotFound:\n    log()", {"except NotFound"}),
        ("try:\n    work()\nexcept NotFound:\n    return", {"except NotFound"}),
        ("try:\n    work()\nexcept NotFound:\n    raise Other", set()),
        ("try:\n    work()\nexcept NotFound:\n    if gone:\n        raise", {"except NotFound"}),
        ("try:\n    work()\nexcept:\n    pass", {"except"}),
        ("try:\n    work()\nexcept A:\n    with excutils.save_and_reraise_exception():\n        log()", set()),
        (
            "try:\n    a()\nexcept A:\n    with excutils.save_and_reraise_exception() as c:\n        c.reraise = False",
            {"except A"},
        ),
        ("try:\n    a()\nexcept A:\n    pass\ntry:\n    b()\nexcept A:\n    pass", {"except A", "except A #2"}),
        ("try:\n    a()\nexcept A:\n    try:\n        b()\n    except B:\n        pass\n    raise", {"except B"}),
        ("with contextlib.suppress(NotFound):\n    work()", {"suppress contextlib.suppress(NotFound)"}),
    ],
)
def test_findings_of_a_step(tmp_path: Path, body: str, expected: set[str]) -> None:
    assert {text for _, text in findings_of(nova_with(tmp_path, step(body)))} == expected


HELPERS = """
def _helper(self):
    if gone:
        return
    self._periodic()

def _periodic(self):
    if idle:
        return
    work()

def _unrelated(self):
    if idle:
        return
    work()
"""


def test_methods_that_a_step_calls_are_followed_and_others_are_not(tmp_path: Path) -> None:
    shares = "def umount(self):\n    try:\n        work()\n    except ShareNotFound:\n        log()\n"
    nova = nova_with(tmp_path, step("self._helper()\nself.share_manager.umount()") + HELPERS, shares)
    expected = {("compute._helper", "return if gone"), ("share_management.umount", "except ShareNotFound")}
    assert findings_of(nova, ["compute._periodic"]) == expected


def test_new_and_missing_findings_are_differences(tmp_path: Path) -> None:
    file = tmp_path / "declared.toml"
    file.write_text(dedent(DECLARED))
    declaration = Declaration(file)
    nova = nova_with(tmp_path, step("if lost:\n    return\nwork()"))
    assert differences(nova, "31.3.1", declaration) == [
        "Nova 31.3.1: new, not declared: compute.stop: return if lost",
        "Nova 31.3.1: declared, but gone: compute.stop: return if gone",
    ]
    assert "| `compute.stop` | `return if gone` | the state |" in page(declaration)


def test_undeclared_finding_ends_the_script_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(nova_with(tmp_path, step("if lost:\n    return\nwork()")))]) == 1
    assert "new, not declared: compute.stop: return if lost" in capsys.readouterr().out


def test_folder_without_nova_ends_the_script_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no Nova to read" in capsys.readouterr().err
