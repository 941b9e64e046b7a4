"""Gates that run three times in place of once: the same circuit, with more noise."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from qmend.circuits.folding import fold_two_qubit_gates
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.noise.config import SurrogateConfig
from qmend.walsh import walsh_hadamard

TWO = ("cx", "ecr", "cz")


@pytest.fixture
def table() -> InstructionTable:
    """40 circuits on 4 qubits without two equal gates in a row."""
    rng = np.random.default_rng(0)
    circuits = []
    for gate in (*TWO, "cx") * 10:
        circuit = [("sx", q, -1, 0.0) for q in range(4)]
        for _ in range(8):
            a = int(rng.integers(3))
            circuit += [(gate, a, a + 1, 0.0), ("rz", a, -1, float(rng.uniform(-3, 3)))]
            circuit += [("sx", a, -1, 0.0)]
        circuits.append(circuit)
    return InstructionTable.from_circuits(4, circuits)


def seeds(count: int, key: int = 1) -> list[np.random.SeedSequence]:
    return [np.random.SeedSequence([key, k]) for k in range(count)]


def repetitions(table: InstructionTable, k: int) -> list[tuple[tuple, int]]:
    """Gates of circuit k, equal ones in a row as one with their number."""
    return [(gate, len(list(run))) for gate, run in groupby(table.circuit(k))]


def test_two_qubit_gates_run_once_or_three_times_and_others_once(table):
    folded = fold_two_qubit_gates(table, 1.0, seeds(len(table)))
    shares = []
    for k in range(len(table)):
        found = repetitions(folded, k)
        assert [gate for gate, _ in found] == table.circuit(k)
        assert {n for (name, *_), n in found if name not in TWO} == {1}
        often = [n for (name, *_), n in found if name in TWO]
        assert set(often) <= {1, 3}
        shares.append(np.mean(np.array(often) == 3))
    # Each circuit has its own share, uniform up to the largest.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.15)
    assert min(shares) < 0.2
    assert max(shares) > 0.8
    fewer = fold_two_qubit_gates(table, 0.2, seeds(len(table)))
    ratio = (fewer.lengths - table.lengths).sum() / (folded.lengths - table.lengths).sum()
    assert ratio == pytest.approx(0.2, abs=0.08)


def test_the_noiseless_distribution_is_unchanged(table):
    folded = fold_two_qubit_gates(table, 1.0, seeds(len(table)))
    assert len(folded.gate) > len(table.gate)
    ideal = compiled_probabilities(table)
    np.testing.assert_allclose(compiled_probabilities(folded), ideal, atol=1e-13)


def test_without_a_share_nothing_changes(table):
    folded = fold_two_qubit_gates(table, 0.0, seeds(len(table)))
    assert folded.circuit_ids() == table.circuit_ids()


def test_a_fold_depends_on_its_circuits_own_seed_alone(table):
    whole = fold_two_qubit_gates(table, 1.0, seeds(40)).circuit_ids()
    few = np.array([7, 3, 21])
    own = [seeds(40)[k] for k in few]
    alone = fold_two_qubit_gates(table.select(few), 1.0, own).circuit_ids()
    assert alone == [whole[k] for k in few]
    other = fold_two_qubit_gates(table, 1.0, seeds(40, key=2)).circuit_ids()
    assert np.mean(np.array(other) != np.array(whole)) > 0.9


def test_hidden_gates_add_noise_and_each_circuit_keeps_its_own(algiers, table):
    """Of the same device: no parity survives better, all two-qubit ones worse."""
    cx = table.select(np.flatnonzero(table.count("cx") > 0))
    layout = algiers.layout[:4]
    quiet = SurrogateConfig.of(
        name="surrogate_hardware", zz=0.0, zx=0.0, stark=0.0, rx=0.0, idle_relaxation=0.0
    )
    shown, hidden = (
        config.build(algiers.calibration, layout)
        for config in (quiet, quiet.model_copy(update={"hidden_gates": 1.0}))
    )
    assert hidden.config.hides_gates
    assert not shown.config.hides_gates
    ideal = walsh_hadamard(compiled_probabilities(cx))
    before, after = (walsh_hadamard(n.probabilities(cx, 3)) for n in (shown, hidden))
    kept = [(ideal * noisy).sum(axis=1) / (ideal**2).sum(axis=1) for noisy in (before, after)]
    assert (kept[1] <= kept[0] + 1e-3).all()
    assert np.mean(kept[0] - kept[1]) > 0.02
    some = np.array([5, 0])
    np.testing.assert_array_equal(
        hidden.probabilities(cx.select(some), 3), hidden.probabilities(cx, 3)[some]
    )
    assert np.abs(hidden.probabilities(cx, 4) - hidden.probabilities(cx, 3)).max() > 1e-3
