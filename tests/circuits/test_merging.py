"""Merged gates are the same unitary in fewer gates; angles stay on their grids."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager

from qmend.circuits.angles import (
    SOURCE_TURN,
    TURN,
    from_steps,
    round_circuit,
    round_compiled,
    round_source,
    to_steps,
)
from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.merging import merge_gates
from qmend.types import QmendError

_GATES = ["rz", "sx", "x", "cx"]
_EDGES = [(0, 1), (1, 2), (1, 0), (2, 1)]


def _circuit(instructions, n):
    circuit = QuantumCircuit(n)
    for name, a, b, angle in instructions:
        getattr(circuit, name)(*([angle] if name == "rz" else []), *([a, b] if b >= 0 else [a]))
    return circuit


def _is_same(instructions, merged, n):
    one, other = (Operator(_circuit(c, n)).data for c in (instructions, merged))
    return abs(abs(np.trace(one.conj().T @ other)) / 2**n - 1) < 1e-11


def _word(rng, length, angles):
    names = rng.choice(["rz", "sx", "x"], length)
    return [(str(n), 0, -1, float(rng.choice(angles)) if n == "rz" else 0.0) for n in names]


@pytest.mark.parametrize("grid", ["quarter turns", "any angle", "both"])
def test_a_run_becomes_at_most_two_sx_and_is_the_same_gate(grid):
    rng = np.random.default_rng(3)
    quarters, angles = np.arange(-4, 5) * np.pi / 2, round_source(rng.uniform(-7, 7, 9))
    choices = {"quarter turns": quarters, "any angle": angles}
    for length in range(1, 14):
        for _ in range(12):
            word = _word(rng, length, choices.get(grid, np.concatenate([quarters, angles])))
            merged = merge_gates(word, 1)
            assert _is_same(word, merged, 1)
            names = [name for name, *_ in merged]
            pulses = names.count("sx") + names.count("x")
            assert pulses <= 2
            assert pulses <= len(word) - [name for name, *_ in word].count("rz")
            if grid == "quarter turns":
                assert pulses <= 1  # RZ, SX and X alone are all one-qubit Cliffords


def test_two_qubit_gates_that_meet_cancel_and_what_is_around_them_merges():
    half = np.pi / 2
    circuit = [
        ("sx", 0, -1, 0.0),
        ("cx", 0, 1, 0.0),
        ("rz", 1, -1, half),
        ("rz", 1, -1, -half),
        ("cx", 0, 1, 0.0),
        ("sx", 0, -1, 0.0),
    ]
    assert merge_gates(circuit, 2) == [("x", 0, -1, 0.0)]
    reverse = [("cx", 0, 1, 0.0), ("cx", 1, 0, 0.0)]
    assert merge_gates(reverse, 2) == reverse


def test_circuits_are_as_short_as_by_qiskits_own_optimisation():
    rng = np.random.default_rng(5)
    ours = QiskitCompiler(3, _GATES, _EDGES, 1)
    theirs = generate_preset_pass_manager(
        optimization_level=1,
        basis_gates=_GATES,
        coupling_map=CouplingMap([list(e) for e in _EDGES]),
        initial_layout=range(3),
        seed_transpiler=0,
    )
    for _ in range(25):
        source = QuantumCircuit(3)
        for _ in range(12):
            a, b = rng.permutation(3)[:2].tolist()
            source.u(*rng.uniform(0, 6, 3), a)
            source.h(b)
            source.crx(rng.uniform(0, 6), a, b)
        compiled = ours(source)
        names = [name for name, *_ in compiled.instructions]
        counts = theirs.run(source).count_ops()
        assert names.count("cx") == counts["cx"]
        assert names.count("sx") <= counts["sx"]
        for name, _, _, angle in compiled.instructions:
            if name == "rz":
                assert from_steps(to_steps(angle)) == angle


def test_multiples_of_quarter_turns_are_exact_on_both_grids():
    quarters = np.arange(-8, 9) * (np.pi / 2)
    np.testing.assert_array_equal(round_source(quarters), quarters)
    np.testing.assert_array_equal(round_compiled(quarters), quarters)
    assert to_steps(np.pi / 2) == TURN // 4
    assert from_steps(TURN // 2) == np.pi


def test_a_rounding_error_does_not_move_an_angle_and_a_step_does():
    angle = float(round_source(1.2345))
    for noise in (-4e-16, 4e-16, 1e-12):
        assert from_steps(to_steps(angle + noise)) == angle
    assert float(round_source(angle + 2 * np.pi / SOURCE_TURN)) != angle


def test_a_source_circuits_angles_are_rounded_and_its_delays_are_not():
    circuit = QuantumCircuit(2)
    circuit.u(0.1, 0.2, 0.3, 0)
    circuit.delay(123, 1)
    circuit.cp(0.7, 0, 1)
    rounded = round_circuit(circuit)
    assert rounded.data[0].operation.params == round_source([0.1, 0.2, 0.3]).tolist()
    assert rounded.data[1].operation.duration == 123
    assert rounded.data[2].operation.params == [float(round_source(0.7))]
    assert circuit.data[0].operation.params == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("angle", [np.nan, np.inf])
def test_an_angle_that_is_no_number_is_refused(angle):
    with pytest.raises(QmendError, match="finite"):
        to_steps(angle)
