"""References by design: known ideals, the circuit's own gates, and parities that tell something."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.fake_provider import FakeAlgiers, FakeSherbrooke, FakeTorino

from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.measured import measured_circuit
from qmend.circuits.references import draw_references, known_ideal, reference_circuits
from qmend.circuits.statevector import compiled_probabilities, measured_marginals
from qmend.types import QmendError
from qmend.walsh import walsh_hadamard


def layered(n: int, layers: int, gate: str, seed: int = 0) -> InstructionTable:
    """One circuit of layers of any one-qubit gates and of two-qubit gates on a chain."""
    rng = np.random.default_rng(seed)
    gates: list[Instruction] = []
    for layer in range(layers):
        for q in range(n):
            for name in ("rz", "sx", "rz", "sx", "rz"):
                gates.append((name, q, -1, float(rng.uniform(-3, 3)) if name == "rz" else 0.0))
        gates += [(gate, q, q + 1, 0.0) for q in range(layer % 2, n - 1, 2)]
        gates += [("x", layer % n, -1, 0.0), ("id", 0, -1, 0.0)]
    return InstructionTable.from_circuits(n, [gates])


def statevector_ideal(table: InstructionTable, measured: np.ndarray) -> np.ndarray:
    return measured_marginals(compiled_probabilities(table), measured)


@pytest.mark.parametrize("gate", ["cx", "cz", "ecr"])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (4, 4), (6, 3)])
def test_ideals_are_those_of_the_statevector(n, m, gate):
    measured = np.random.default_rng(n).permutation(n)[:m]
    references = draw_references(layered(n, 5, gate), measured, 9, seed=1)
    all_measured = np.tile(measured, (9, 1))
    ideal = known_ideal(references, all_measured)
    np.testing.assert_allclose(ideal, statevector_ideal(references, all_measured), atol=1e-12)
    parities = walsh_hadamard(ideal)
    np.testing.assert_allclose(np.abs(parities), np.abs(parities).round(), atol=1e-12)
    assert ((np.abs(parities) > 0.5).sum(axis=1) > 1).all()
    assert len(set(references.circuit_ids())) == 9


def test_a_few_rotations_may_have_any_angle():
    """The circuit of the user's own choice, if it is near-Clifford."""
    table = layered(4, 4, "cx")
    measured = np.array([[2, 0, 3]])
    few = draw_references(table, measured[0], 1, seed=0)
    rz = np.flatnonzero(few.gate == few.gate[0])[[3, 17, 30]]
    few.angle[rz] = table.angle[rz]
    ideal = known_ideal(few, measured)
    np.testing.assert_allclose(ideal, statevector_ideal(few, measured), atol=1e-12)
    with pytest.raises(QmendError, match="48 RZ that are no quarter turns"):
        known_ideal(table, measured)


def test_most_parities_are_known_where_the_circuit_allows_it():
    """Random Clifford circuits of this size leave two of 32 in the mean."""
    measured = np.arange(5)
    references = draw_references(layered(5, 6, "cx"), measured, 9, seed=0)
    known = np.abs(walsh_hadamard(known_ideal(references, np.tile(measured, (9, 1))))) > 0.5
    assert known.sum(axis=1).min() >= 16
    outcomes = known_ideal(references, np.tile(measured, (9, 1))).argmax(axis=1)
    assert len(set(outcomes.tolist())) > 4  # both values of each bit are met


def test_thirty_qubits_take_a_second():
    table, measured = layered(30, 10, "ecr"), np.array([3, 29, 12, 17, 0, 22, 8, 15])
    begun = time.process_time()
    references = draw_references(table, measured, 9, seed=0)
    ideal = known_ideal(references, np.tile(measured, (9, 1)))
    assert time.process_time() - begun < 3  # on a busy machine
    np.testing.assert_allclose(ideal.sum(axis=1), 1)
    assert ((np.abs(walsh_hadamard(ideal)) > 0.5).sum(axis=1) > 1).all()


def source_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(4, 3)
    for layer in range(3):
        for q in range(4):
            circuit.ry(0.3 + 0.2 * q + layer, q)
            circuit.rz(0.7 * q, q)
        for q in range(3):
            circuit.cx(q, q + 1)
        circuit.barrier()
    circuit.measure([0, 1, 3], [0, 2, 1])
    return circuit


@pytest.mark.parametrize("backend", [FakeAlgiers, FakeSherbrooke, FakeTorino])
def test_only_angles_of_rz_differ_from_the_target(backend):
    target = transpile(source_circuit(), backend(), seed_transpiler=1, optimization_level=1)
    references = reference_circuits(target, 9, seed=0)
    assert len({str(measured_circuit(r).fingerprint) for r in references}) == 9
    for reference in references:
        assert (reference.qregs, reference.cregs) == (target.qregs, target.cregs)
        assert len(reference.data) == len(target.data)
        for own, theirs in zip(reference.data, target.data, strict=True):
            assert (own.qubits, own.clbits) == (theirs.qubits, theirs.clbits)
            if own.operation.name == "rz":
                turns = own.operation.params[0] / (np.pi / 2)
                assert turns == pytest.approx(round(turns), abs=1e-12)
            else:
                assert own.operation == theirs.operation
    again = reference_circuits(target, 9, seed=0)
    assert again == references
    assert reference_circuits(target, 9, seed=1) != references


def test_what_has_no_references_is_refused():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with pytest.raises(QmendError, match=r"gate 'h'.*compile it"):
        reference_circuits(circuit, 1, seed=0)
    classical = InstructionTable.from_circuits(2, [[("x", 0, -1, 0.0), ("cx", 0, 1, 0.0)]])
    assert len(draw_references(classical, np.array([0, 1]), 1, seed=0)) == 1  # it is known itself
    with pytest.raises(QmendError, match=r"1 references that tell anything, not 2.*0 RZ"):
        draw_references(classical, np.array([0, 1]), 2, seed=0)
    uniform = InstructionTable.from_circuits(1, [[("sx", 0, -1, 0.0), ("rz", 0, -1, 0.4)]])
    with pytest.raises(QmendError, match="0 references that tell anything"):
        draw_references(uniform, np.array([0]), 1, seed=0)
    with pytest.raises(QmendError, match=r"measures 11 bits.*at most 10"):
        draw_references(layered(12, 2, "cx"), np.arange(11), 1, seed=0)
