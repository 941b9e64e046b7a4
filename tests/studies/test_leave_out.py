"""The circuits whose features take a circuit's place."""

from __future__ import annotations

import numpy as np

from qmend.studies.leave_out import EXCHANGES, draw_partners

CIRCUIT = np.array(["a", "b", "a", "c", "d", "d"])


def test_partners_are_of_other_families() -> None:
    family = np.array(["bv", "bv", "bv", "qft", "walk", "walk"])
    partners = draw_partners(CIRCUIT, family, np.random.default_rng(0))
    assert partners is not None
    assert partners.shape == (EXCHANGES, 6)
    assert (family[partners] != family).all()
    assert (partners[:, 0] == partners[:, 2]).all()  # rows of one circuit
    assert set(CIRCUIT[partners[:, 0]]) == {"c", "d"}


def test_in_one_family_they_are_its_other_circuits() -> None:
    partners = draw_partners(CIRCUIT, np.full(6, "bv"), np.random.default_rng(0))
    assert partners is not None
    assert (CIRCUIT[partners] != CIRCUIT).all()


def test_one_circuit_has_no_partner() -> None:
    same = np.full(6, "a")
    assert draw_partners(same, same, np.random.default_rng(0)) is None
