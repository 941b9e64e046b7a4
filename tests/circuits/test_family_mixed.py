"""Several families in turn: each at the size of the whole, and part of its identity."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from qmend.circuits.families import Family, build_family
from qmend.types import QmendError


@pytest.fixture
def mixed() -> Family:
    inner = {
        "short": {"name": "pauli", "n_qubits": 2, "gadget_counts": [1, 4]},
        "states": {"name": "ghz", "n_qubits": 7},
    }
    return build_family({"name": "mixed", "n_qubits": 3, "families": inner})


def test_circuits_are_of_each_family_in_turn_and_of_the_size_of_all(mixed):
    drawn = [mixed.stratum(k) for k in range(6)]
    assert [family.name for family in drawn] == ["pauli", "ghz"] * 3
    assert [drawn[k].gadgets_max for k in (0, 2, 4)] == [1, 4, 1]  # in turn by itself
    assert {family.n_qubits for family in drawn} == {3}
    rng = np.random.default_rng(0)
    assert {mixed.stratum(k).draw(rng).circuit.num_qubits for k in range(6)} == {3}
    assert {mixed.of_size(4).stratum(k).n_qubits for k in range(2)} == {4}


def test_the_families_are_part_of_its_identity(mixed):
    again = mixed.of_size(4).of_size(3)
    assert again == mixed
    assert hash(again) == hash(mixed)
    plain = mixed.plain()
    assert build_family(plain) == mixed
    plain["families"]["short"]["gadget_counts"] = [1, 5]
    assert build_family(plain) != mixed


def test_what_are_no_families_is_refused():
    for bad, message in (([], "maps names to configs"), ({}, "at least 1 item")):
        with pytest.raises(ValidationError, match=message):
            build_family({"name": "mixed", "n_qubits": 3, "families": bad})
    with pytest.raises(QmendError, match="'unheard'"):
        build_family({"name": "mixed", "n_qubits": 3, "families": {"x": {"name": "unheard"}}})


def test_the_order_in_which_families_are_named_decides_nothing(mixed):
    """Recipes are equal whatever the order, and so are their hashes: circuits must be, too."""
    plain = mixed.plain()
    turned = dict(reversed(plain["families"].items()))
    assert list(turned) == ["states", "short"]
    other = build_family({**plain, "families": turned})
    assert [other.stratum(k).name for k in range(4)] == ["pauli", "ghz"] * 2
    assert hash(other) == hash(mixed)
