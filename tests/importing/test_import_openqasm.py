"""OpenQASM of unknown origin: read without reading anything else, refused in one sentence."""

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector

from qmend.importing.openqasm import read_openqasm
from qmend.types import QmendError

HEAD2 = 'OPENQASM 2.0; include "qelib1.inc"; '
HEAD3 = 'OPENQASM 3.0; include "stdgates.inc"; '
DOUBLING = "gate g0 a { x a; x a; } " + "".join(
    f"gate g{k} a {{ g{k - 1} a; g{k - 1} a; }} " for k in range(1, 60)
)


@pytest.mark.parametrize("dumps", [qasm2.dumps, qasm3.dumps])
@pytest.mark.parametrize("seed", range(4))
def test_the_ideal_distribution_is_that_of_the_circuit(dumps, seed):
    circuit = random_circuit(4, 5, max_operands=3, seed=seed)
    order = np.random.default_rng(seed).permutation(4).tolist()
    expected = Statevector(circuit).probabilities(order)
    circuit.add_register(*QuantumCircuit(0, 4).cregs)
    circuit.measure(order, range(4))
    found = read_openqasm(dumps(circuit))
    np.testing.assert_allclose(found.probabilities(), expected, atol=1e-9)


def test_a_part_of_the_qubits_is_measured_into_chosen_bits():
    found = read_openqasm(
        HEAD2 + "qreg q[5]; creg a[2]; creg b[3]; x q[4]; cx q[4],q[1]; h q[3];"
        "measure q[1] -> b[2]; measure q[3] -> a[1];"
    )
    assert found.qubits == (1, 3, 4)  # q[0] and q[2] do nothing
    assert found.clbits == (1, 4)
    assert found.n_clbits == 5
    np.testing.assert_allclose(found.probabilities(), [0, 0, 0.5, 0.5], atol=1e-12)


def test_the_fingerprint_tells_circuits_apart_but_not_barriers():
    def fingerprint(body):
        return read_openqasm(HEAD2 + "qreg q[2]; creg c[2]; " + body).fingerprint

    bell = fingerprint("h q[0]; cx q[0],q[1]; measure q -> c;")
    assert bell == fingerprint("h q[0]; barrier q; cx q[0],q[1]; barrier q; measure q -> c;")
    others = (
        "h q[1]; cx q[0],q[1]; measure q -> c;",
        "h q[0]; cx q[0],q[1]; measure q[0] -> c[1]; measure q[1] -> c[0];",
        "rx(0.1) q[0]; cx q[0],q[1]; measure q -> c;",
        "rx(0.10000001) q[0]; cx q[0],q[1]; measure q -> c;",
    )
    assert len({bell, *map(fingerprint, others)}) == 5


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", ['"{}"', "'{}'", '/* */ "{}"'])
def test_no_other_file_is_read(tmp_path, monkeypatch, version, form):
    """Neither by a relative nor by an absolute path, whether it exists or not."""
    (tmp_path / "own.inc").write_text("gate own a { x a; }")
    monkeypatch.chdir(tmp_path)
    for name in ("own.inc", str(tmp_path / "own.inc"), "/etc/passwd", "../own.inc"):
        program = f"OPENQASM {version}.0; include {form.format(name)}; qreg q[1]; own q[0];"
        with pytest.raises(QmendError, match=r"includes .* only qelib1.inc and stdgates.inc"):
            read_openqasm(program)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x q[0]; measure q[0] -> c[0]; x q[0];", r"gate \(x\) after its measurement"),
        ("reset q[0]; measure q -> c;", "has a reset"),
        ("measure q[0] -> c[0]; if (c == 1) x q[1];", "condition"),
        ("measure q[0] -> c[0]; measure q[0] -> c[1];", "measured twice"),
        ("measure q[0] -> c[0]; measure q[1] -> c[0];", "measured twice"),
        ("x q[0];", "measures nothing"),
        ("foo q[0]; measure q -> c;", "can't be parsed .*foo"),
        ("x q[7]; measure q -> c;", "can't be parsed"),
        ("x q[0]", "can't be parsed"),
    ],
)
def test_what_can_not_be_a_row_is_refused(body, message):
    with pytest.raises(QmendError, match=message):
        read_openqasm(HEAD2 + "qreg q[2]; creg c[2]; " + body)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("", "does not start with OPENQASM"),
        ("qreg q[1];", "does not start with OPENQASM"),
        (HEAD2 + "qreg q[99999999999]; creg c[1];", "registers have more than"),
        (HEAD3 + "qubit[" + "9" * 5000 + "] q;", "registers have more than"),
        (HEAD3 + "x $123456789;", "registers have more than"),
        (HEAD2 + DOUBLING + "qreg q[1]; creg c[1]; g59 q[0]; measure q -> c;", "more than 500,000"),
        (
            HEAD3 + "gate g a { pow(800) @ h a; x a; } gate f a { pow(800) @ g a; } qubit q; "
            "bit c; f q; c = measure q;",
            "more than 500,000",
        ),
        (HEAD2 + "qreg q[1]; creg c[1]; " + "x q[0]; " * 600_000, "longer than"),
        (HEAD2 + "qreg q[63]; creg c[63]; h q; measure q -> c;", "uses 63 qubits"),
        (
            HEAD3 + "qubit q; bit c; for int i in [0:3] { x q; } c = measure q;",
            "condition or loop|can't be parsed",
        ),
        (HEAD3 + "input float theta; qubit q; bit c; rx(theta) q; c = measure q;", "parameters"),
        (HEAD3 + "qubit[2] q; bit[2] c; ecr q[0], q[1]; c = measure q;", "'ecr' is not defined"),
    ],
)
def test_programs_that_are_too_much_or_too_little(program, message):
    with pytest.raises(QmendError, match=message):
        read_openqasm(program)
