"""The second reader of OpenQASM, against gates and circuits that Qiskit builds itself."""

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector
from qiskit_qasm3_import.converter import _STDGATES

from qmend.importing.program import read_program
from qmend.types import QmendError

HEAD2 = 'OPENQASM 2.0; include "qelib1.inc"; '
HEAD3 = 'OPENQASM 3.0; include "stdgates.inc"; '
OLD = {
    c.name: (c.constructor, c.num_params, c.num_qubits)
    for c in qasm2.LEGACY_CUSTOM_INSTRUCTIONS
    if c.name != "delay"
}
ANGLES = ["0.7", "-1.9", "2.3", "0.45"]


def between_rotations(gate: str, n_qubits: int, reference) -> None:
    """Compare a gate between rotations that show every phase but the global one."""
    turns = [0.3 + 0.2 * k for k in range(n_qubits)]
    circuit = QuantumCircuit(n_qubits)
    for k, turn in enumerate(turns):
        circuit.u(turn, 2 * turn, 0.1, k)
    circuit.append(reference, range(n_qubits))
    for k, turn in enumerate(turns):
        circuit.u(1 + turn, 0.2, -turn, k)
    before = " ".join(f"U({t},{2 * t},0.1) q[{k}];" for k, t in enumerate(turns))
    after = " ".join(f"U({1 + t},0.2,{-t}) q[{k}];" for k, t in enumerate(turns))
    program = (
        HEAD2 + f"qreg q[{n_qubits}]; creg c[{n_qubits}]; {before} {gate} {after} measure q -> c;"
    )
    expected = Statevector(circuit).probabilities()
    np.testing.assert_allclose(read_program(program).probabilities(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "signature"),
    [*OLD.items(), *(item for item in _STDGATES.items() if item[0] not in OLD)],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_standard_gates_are_the_standard_gates(name, signature):
    constructor, n_angles, n_qubits = signature
    angles = ["2"] if name == "u0" else ANGLES[:n_angles]
    reference = constructor(*map(float, angles)) if name != "u0" else constructor(2)
    bracket = f"({','.join(angles)})" if angles else ""
    operands = ",".join(f"q[{k}]" for k in range(n_qubits))
    between_rotations(f"{name}{bracket} {operands};", n_qubits, reference)


@pytest.mark.parametrize("dumps", [qasm2.dumps, qasm3.dumps])
@pytest.mark.parametrize("seed", range(6))
def test_random_circuits(dumps, seed):
    circuit = random_circuit(4, 5, max_operands=4, seed=seed)
    order = np.random.default_rng(seed).permutation(4)[:3].tolist()
    expected = Statevector(circuit).probabilities(order)
    circuit.add_register(*QuantumCircuit(0, 3).cregs)
    circuit.measure(order, range(3))
    np.testing.assert_allclose(read_program(dumps(circuit)).probabilities(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("expression", "angle"),
    [
        ("-2^2", -4.0),
        ("2^3^2", 512.0),
        ("2^-1", 0.5),
        ("1/2", 0.5),
        ("6/2/3 - 1 - 2", -2.0),
        ("-(pi)/2*3", -1.5 * np.pi),
        ("sin(pi/4)*cos(0.2) + ln(3) - sqrt(2) + exp(.5)", np.sin(np.pi / 4) * np.cos(0.2)
         + np.log(3) - np.sqrt(2) + np.exp(0.5)),
        ("1.5e-1 + 2E1", 20.15),
    ],
)  # fmt: skip
def test_expressions(expression, angle):
    program = HEAD2 + f"qreg q[1]; creg c[1]; rx({expression}) q[0]; measure q->c;"
    expected = [np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2]
    np.testing.assert_allclose(read_program(program).probabilities(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("body", "flipped"),
    [
        ("x q; x q[{1, 3}];", "0101"),
        ("x q[0:2];", "0111"),
        ("x q[0:2:3];", "0101"),
        ("let a = q[1:2]; x a;", "0110"),
        ("x q[0]; cx q[0], q[1:3];", "1111"),
        ("x q[0:1]; cx q[0:1], q[2:3];", "1111"),
        ("x q[0]; negctrl @ x q[0], q[1]; negctrl @ x q[1], q[2];", "0101"),
        ("x q[0:1]; ctrl(2) @ x q[0], q[1], q[3];", "1011"),
        ("pow(3) @ x q[1]; pow(-2) @ x q[0]; inv @ sx q[2]; inv @ sx q[2];", "0110"),
        ("pow(0.5) @ x q[0]; pow(0.5) @ x q[0]; pow(0.25) @ z q[1];", "0001"),
        ("gate g a, b { p(pi) a; h b; ctrl @ gphase(pi) b; h b; } g q[0], q[2];", "0100"),
        ("rx(pi*(7/2 - 2)) q[0]; delay[100ns] q[0]; barrier q;", "0001"),
    ],
)  # fmt: skip
def test_openqasm_3(body, flipped):
    program = HEAD3 + "qubit[4] q; bit[4] c; " + body + " c = measure q;"
    probabilities = read_program(program).probabilities()
    assert probabilities[int(flipped, 2)] == pytest.approx(1, abs=1e-12)


def test_measurements_go_where_the_program_says():
    reading = read_program(
        HEAD2 + "qreg q[5]; creg a[2]; creg b[3]; x q[4]; cx q[4],q[1]; h q[3];"
        "measure q[1] -> b[2]; measure q[3] -> a[1];"
    )
    assert reading.clbits == (1, 4)
    assert reading.n_clbits == 5
    np.testing.assert_allclose(reading.probabilities(), [0, 0, 0.5, 0.5], atol=1e-12)


@pytest.mark.parametrize(
    "body",
    ["const float a = 1; rx(a) q;", "for int i in [0:3] { x q; }", "x q[", "foo q;", "x q[9];"],
)
def test_what_it_can_t_read_is_refused(body):
    with pytest.raises(QmendError, match="can't be read a second time, for the proof"):
        read_program(HEAD3 + "qubit[4] q; bit[4] c; " + body)
