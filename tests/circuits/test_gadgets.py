"""The direct compiler: the same unitary, native gates on the chain, no more CX than Qiskit."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from qmend.circuits.compilation import build_compiler
from qmend.circuits.families import SourceCircuit, build_family
from qmend.circuits.gadgets import GadgetCompiler
from qmend.circuits.instructions import InstructionTable
from qmend.devices.device import DeviceConfig, load_device
from qmend.types import QmendError
from reference import qiskit_circuit

GATES = ("id", "rz", "sx", "x", "cx")


def edges(n: int) -> list[tuple[int, int]]:
    return [(k, k + 1) for k in range(n - 1)] + [(k + 1, k) for k in range(n - 1)]


def overlap(gates, source: SourceCircuit) -> float:
    """\\|Tr(U^dagger V)\\| / d: 1 if and only if equal up to a phase."""
    n = source.circuit.num_qubits
    ours = Operator(qiskit_circuit(gates, n)).data
    theirs = Operator(source.circuit).data
    return float(abs(np.trace(ours.conj().T @ theirs)) / 2**n)


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize(
    "gadgets",
    [
        [("IIIII", 1.0)],
        [("ZIIII", 0.3)],
        [("XIIIY", 0.3)],
        [("IXIYI", 0.3), ("IXIYI", 0.4)],
        [("XXXXX", 0.3), ("YYYYY", -0.8), ("ZZZZZ", 2.0)],
        [("ZIZIZ", 0.3), ("ZZIIZ", 0.1), ("YIIXX", 5.0)],
        [("YIIII", np.pi / 2), ("YIIII", np.pi / 2)],
        [("XIIII", 0.0)],
    ],
)
def test_by_hand_unitary_is_kept(gadgets):
    source = SourceCircuit({}, gadgets=gadgets, n_qubits=5)
    compiled = GadgetCompiler(5, GATES, edges(5))(gadgets)
    assert overlap(compiled, source) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_random_gadgets_unitary_gates_and_chain(n):
    family = build_family({"name": "pauli", "n_qubits": n, "gadgets_min": 1})
    compile_one = GadgetCompiler(n, GATES, edges(n))
    for seed in range(12):
        source = family.draw(np.random.default_rng(seed))
        compiled = compile_one(source.gadgets)
        assert overlap(compiled, source) == pytest.approx(1.0, abs=1e-12)
        assert {gate for gate, *_ in compiled} <= {"rz", "sx", "x", "cx"}
        assert all(abs(a - b) == 1 for gate, a, b, _ in compiled if gate == "cx")


def test_no_more_two_qubit_gates_than_qiskit_and_no_deeper(algiers):
    family = build_family({"name": "pauli", "n_qubits": 5})
    drawn = [family.draw(np.random.default_rng(seed)) for seed in range(150)]
    tables = {}
    for name in ("direct", "qiskit"):
        compile_one = build_compiler(name, 5, algiers.native_gates, algiers.edges, 1)
        compiled = [compile_one(source).instructions for source in drawn]
        tables[name] = InstructionTable.from_circuits(5, compiled)
    ours, theirs = (tables[name].count("cx") for name in ("direct", "qiskit"))
    assert np.median(ours) <= np.median(theirs)
    assert np.median(tables["direct"].depth()) <= np.median(tables["qiskit"].depth())


def test_equal_neighbours_share_their_ladder():
    """exp(-i a P) exp(-i b P) needs one ladder, not two."""
    compile_one = GadgetCompiler(5, GATES, edges(5))
    once = [g for g in compile_one([("XYZXY", 0.3)]) if g[0] == "cx"]
    twice = [g for g in compile_one([("XYZXY", 0.3), ("XYZXY", 0.4)]) if g[0] == "cx"]
    assert len(once) == len(twice) == 8


def test_what_does_not_fit_is_refused(algiers):
    with pytest.raises(QmendError, match="direct needs the gates rz, sx, x and cx"):
        GadgetCompiler(5, ("id", "rz", "sx", "x", "cz"), edges(5))
    with pytest.raises(QmendError, match="coupled both ways"):
        GadgetCompiler(3, GATES, [(0, 1), (1, 0), (1, 2)])
    star = load_device(DeviceConfig(name="a", backend="FakeAlgiers", layout=(0, 1, 2, 4)))
    with pytest.raises(QmendError, match="a layout along a line"):
        build_compiler("direct", 4, star.native_gates, star.edges, 1)
    from qiskit.circuit import QuantumCircuit

    other = SourceCircuit({}, circuit=QuantumCircuit(5))
    with pytest.raises(QmendError, match="compiles products of Pauli gadgets only"):
        build_compiler("direct", 5, algiers.native_gates, algiers.edges, 1)(other)
