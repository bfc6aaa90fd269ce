"""Nova's classes are read from its files, without importing them; what is new is told with the blame it would get."""

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
    found = scan.classes(scan.nova_package(nova))
    assert found == {
        "DriverBroke": ("NovaException", 503),
        "Invalid": ("NovaException", 400),
        "PortBindingFailed": ("Invalid", 400),
        "QuantumFlux": ("Invalid", 400),
    }
    assert scan.classes(scan.nova_package(nova / "lib/python3.12/site-packages/nova")) == found
    with pytest.raises(scan.NoNovaError, match="There is no Nova"):
        scan.nova_package(nova / "lib")


def test_unknown_classes_are_told_with_the_blame_that_the_rules_give(nova):
    found = update.compare(scan.classes(scan.nova_package(nova)))
    assert found.unknown == {
        "DriverBroke": ("NovaException", 503, "OPERATOR"),
        "QuantumFlux": ("Invalid", 400, "USER"),
    }
    assert found.recoded == {}


def test_writing_adds_and_takes_nothing_out(nova, tmp_path):
    path = tmp_path / "classes.json"
    update.write(scan.classes(scan.nova_package(nova)), path)
    text = path.read_text()
    assert '"QuantumFlux": ["Invalid", 400]' in text
    assert '"NoValidHost"' in text
