"""Nova's classes are read from its files without importing them; new classes are listed with their blame."""

import json

import pytest

from stumble.wire.taxonomy import scan, update

NOVA = {
    "exception.py": """
class NovaException(Exception):
    code = 500

class Invalid(NovaException):
    code = 400

class PortBindingFailed(Invalid):
    msg_fmt = "x"

class QuantumFlux(Invalid):
    pass

class NotNova(Exception):
    code = 404
""",
    "virt/driver/errors.py": """
import missing_library
from nova import exception

class DriverBroke(exception.NovaException):
    code = 503

class QuantumFlux(exception.NovaException):
    code = 999
""",
    "tests/fake.py": "class FakeOnly(NovaException):\n    pass\n",
}


@pytest.fixture
def nova(tmp_path):
    package = tmp_path / "lib" / "python3.12" / "site-packages" / "nova"
    for name, text in NOVA.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return tmp_path


def test_classes_are_read_from_an_environment_or_a_package(nova):
    result = scan.scan_classes(scan.nova_package(nova))
    assert result == {
        "DriverBroke": ("NovaException", 503),
        "Invalid": ("NovaException", 400),
        "PortBindingFailed": ("Invalid", 400),
        "QuantumFlux": ("Invalid", 400),
    }
    assert scan.scan_classes(scan.nova_package(nova / "lib/python3.12/site-packages/nova")) == result
    with pytest.raises(scan.NoNovaError, match="does not contain Nova"):
        scan.nova_package(nova / "lib")


def test_unknown_classes_are_listed_with_the_blame_of_the_rules(nova):
    result = update.compare_classes(scan.scan_classes(scan.nova_package(nova)))
    assert result.unknown == {
        "DriverBroke": ("NovaException", 503, "OPERATOR"),
        "QuantumFlux": ("Invalid", 400, "USER"),
    }
    assert result.recoded == {}


def test_writing_adds_classes_and_removes_none(nova, tmp_path):
    path = tmp_path / "classes.json"
    update.write_classes(scan.scan_classes(scan.nova_package(nova)), path)
    text = path.read_text()
    assert '"QuantumFlux": ["Invalid", 400]' in text
    assert '"NoValidHost"' in text


def test_classes_of_libraries_are_read_with_their_owners(tmp_path):
    sources = {
        "aclient/exceptions.py": (
            "class ClientException(Exception):\n    pass\n\nclass NotFound(ClientException):\n    pass\n\n"
            "class OldWarning(DeprecationWarning):\n    pass"
        ),
        "aclient/client.py": "class Client:\n    pass",
        "aclient/tests/fake.py": "class FakeError(Exception):\n    pass",
        "bclient/exc.py": "from aclient import exceptions\n\nclass NotFound(exceptions.ClientException):\n    pass",
        "single.py": "class AloneError(OSError):\n    pass",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert scan.scan_libraries(tmp_path, ["aclient", "bclient", "single", "absent"]) == {
        "AloneError": ("single",),
        "ClientException": ("aclient",),
        "NotFound": ("aclient", "bclient"),
    }


def test_writing_adds_owners_of_library_classes_and_removes_none(tmp_path):
    installed = {"NotFound": ("newclient",), "BrandNew": ("newclient",), "libvirtError": ("libvirt",)}
    assert update.new_library_classes(installed) == {"NotFound": ("newclient",), "BrandNew": ("newclient",)}
    path = tmp_path / "libraries.json"
    update.write_library_classes(installed, path)
    written = json.loads(path.read_text())
    assert written["BrandNew"] == ["newclient"]
    assert {"newclient", "cinderclient", "os_brick"} <= set(written["NotFound"])
    assert "ImageHasSnapshots" in written, "classes of Ceph's rbd are not read from Python source"
