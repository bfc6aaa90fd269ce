"""Nova's classes are read from its files without importing them; new classes are listed with their blame."""

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
