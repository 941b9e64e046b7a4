"""Names are found without importing more than their module; unknown ones get a sentence."""

import subprocess
import sys

import pytest

from qmend.circuits.families import FAMILIES
from qmend.registry import Registry
from qmend.types import QmendError


def test_a_name_imports_only_its_module():
    code = (
        "import sys; from qmend.circuits.families import FAMILIES; FAMILIES['pauli'];"
        "assert 'qmend.circuits.families.vqe' not in sys.modules;"
        "assert list(FAMILIES) == sorted(FAMILIES) and 'vqe' in FAMILIES;"
        "assert 'qmend.circuits.families.vqe' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["paull", "pauli.x", "", "../pauli", "__init__"])
def test_an_unknown_name_gets_the_nearest(name):
    assert name not in FAMILIES
    with pytest.raises(QmendError, match=r"^dataset\.family\.name: unknown family '.*'\. \w"):
        FAMILIES[name]


def test_a_config_names_its_item():
    registry: Registry[type] = Registry("qmend.circuits.families", "thing", "a.thing.name")
    registry.register("number")(int)
    assert registry.look_up({"name": "number", "more": 1}) is int
    with pytest.raises(QmendError, match=r"a\.thing needs its fields"):
        registry.look_up("number")
    with pytest.raises(QmendError, match="Did you mean 'number'"):
        registry.look_up({"name": "numbers"})
