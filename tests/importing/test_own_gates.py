"""A gate that a program defines does what its definition says, whatever its name."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from qiskit import qasm2

from qmend.importing import openqasm
from qmend.importing.importer import import_file
from qmend.importing.openqasm import read_openqasm
from qmend.importing.program import read_program
from qmend.importing.rows import ImportOptions
from qmend.types import QmendError

HEAD2 = 'OPENQASM 2.0; include "qelib1.inc"; '
BARE2 = "OPENQASM 2.0; "
HEAD3 = 'OPENQASM 3.0; include "stdgates.inc"; '
BARE3 = "OPENQASM 3.0; "
H_AND_X = "gate h a { U(pi/2,0,pi) a; } gate x a { U(pi,0,pi) a; } "
ONE = "qreg q[1]; creg c[1]; "
TWO = "qreg q[2]; creg c[2]; "
#: At twice the angle.
RXX_OTHERWISE = "gate rxx(t) a,b { h a; h b; cx a,b; rz(2*t) b; cx a,b; h a; h b; } "


def write(folder: Path, program: str, **changes) -> Path:
    (bits,) = {int(size or 1) for size in re.findall(r"\b(?:creg c|bit)\b(?:\[(\d)\])?", program)}
    record = {
        "id": "a",
        "qasm": program,
        "circuit_stage": "submitted",
        "device": "lab",
        "counts": {"0" * bits: 10},
        **changes,
    }
    path = folder / "given.jsonl"
    path.write_text(json.dumps(record) + "\n")
    return path


def stored(folder: Path, program: str, **changes) -> dict:
    import_file(write(folder, program, **changes), folder / "set", ImportOptions("set"))
    (row,) = pq.read_table(folder / "set" / "circuits-00000.parquet").to_pylist()
    return row


def refusal(folder: Path, program: str, **changes) -> str:
    with pytest.raises(QmendError) as caught:
        import_file(write(folder, program, **changes), folder / "set", ImportOptions("set"))
    assert "record a: " in str(caught.value)
    assert "own_" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("program", "ideal"),
    [
        # With the standard gates: .854/.146.
        (HEAD2 + RXX_OTHERWISE + TWO + "rxx(pi/4) q[0],q[1]; measure q->c;", [0.5, 0, 0, 0.5]),
        # H Z H, not H S H.
        (
            BARE2 + H_AND_X + "gate s a { U(0,0,pi) a; } " + ONE + "h q[0]; s q[0]; h q[0];"
            "measure q->c;",
            [0, 1],
        ),
        (
            BARE2 + "gate rz(t) a { U(0,0,2*t) a; } gate ry(t) a { U(t,0,0) a; } " + ONE
            + "ry(pi/2) q[0]; rz(pi/2) q[0]; ry(pi/2) q[0]; measure q->c;",
            [1, 0],
        ),
        (HEAD2 + "gate sx a { x a; } " + ONE + "sx q[0]; measure q->c;", [0, 1]),
        (
            HEAD2 + "gate swap a,b { id a; } " + TWO + "x q[0]; swap q[0],q[1]; measure q->c;",
            [0, 1, 0, 0],
        ),
        (
            BARE2 + H_AND_X + "gate cx a,b { CX b,a; } " + TWO
            + "x q[0]; cx q[0],q[1]; measure q->c;",
            [0, 1, 0, 0],
        ),
        # The same name within another own gate.
        (
            BARE2 + H_AND_X + "gate s a { U(0,0,pi) a; } gate g(t) a,b { h a; s a; h a; "
            "barrier a,b; U(t*2/2,0,0) b; } " + TWO + "g(pi) q[0],q[1]; measure q->c;",
            [0, 0, 0, 1],
        ),
        # Before its definition a name is the library's.
        (HEAD2 + ONE + "x q[0]; gate x a { } x q[0]; measure q->c;", [0, 1]),
        (HEAD2 + "// gate x a { }\n" + ONE + "x q[0]; measure q->c; // x q[0];", [0, 1]),
        (HEAD2 + "gate inc a { x a; } " + ONE + "inc q[0]; measure q->c;", [0, 1]),
        (
            HEAD3 + "gate rzz(t) a,b { h a; cx a,b; rz(2*t) b; cx a,b; h a; } qubit[2] q; "
            "bit[2] c; rzz(pi/4) q[0],q[1]; c = measure q;",
            [0.5, 0.5, 0, 0],
        ),
        # A control takes "x" for Pauli X by its name.
        (
            BARE3 + "gate x a { U(0,0,1) a; } gate y a { U(pi,0,pi) a; } qubit[2] q; bit[2] c; "
            "y q; ctrl @ x q[0],q[1]; c = measure q;",
            [0, 0, 0, 1],
        ),
        # Names that are words of OpenQASM 3 alone.
        (
            HEAD2 + "gate inv a { x a; } gate let a { h a; } qreg qubit[1]; creg c[1]; "
            "let qubit[0]; let qubit[0]; inv qubit[0]; measure qubit->c;",
            [0, 1],
        ),
        # Parameters of one name in two gates.
        (
            HEAD3 + "gate f(b,t) q { rx(b+t) q; rz(t) q; } gate g(a,t) q { f(t,0) q; rz(a) q; } "
            "qubit q; bit c; g(0.3,pi) q; c = measure q;",
            [0, 1],
        ),
        # Angles go to parameters in their order, not in that of the alphabet.
        (
            HEAD3 + "gate g(b,a) q { rx(b) q; rz(a) q; } qubit q; bit c; g(pi,0) q; c = measure q;",
            [0, 1],
        ),
    ],
)  # fmt: skip
def test_a_program_s_definition_counts(tmp_path, program, ideal):
    np.testing.assert_allclose(stored(tmp_path, program)["ideal"], ideal, atol=1e-9)


@pytest.mark.parametrize(
    "custom",
    [c for c in qasm2.LEGACY_CUSTOM_INSTRUCTIONS if c.name != "delay"],
    ids=lambda c: c.name,
)
def test_every_standard_gate_can_be_defined_otherwise(custom):
    """Here each flips its last qubit."""
    qubits = [f"a{k}" for k in range(custom.num_qubits)]
    angles = ",".join(f"t{k}" for k in range(custom.num_params))
    bracket = f"({angles})" if angles else ""
    values = "(" + ",".join("0.3" for _ in range(custom.num_params)) + ")" if angles else ""
    for head in (BARE2, HEAD2):
        program = (
            head + f"gate {custom.name}{bracket} {','.join(qubits)} {{ U(pi,0,pi) {qubits[-1]}; }} "
            f"qreg q[{len(qubits)}]; creg c[{len(qubits)}];"
            f"{custom.name}{values} {','.join(f'q[{k}]' for k in range(len(qubits)))};"
            "measure q -> c;"
        )
        expected = np.eye(1 << len(qubits))[1 << (len(qubits) - 1)]
        np.testing.assert_allclose(read_openqasm(program).probabilities(), expected, atol=1e-12)
        np.testing.assert_allclose(read_program(program).probabilities(), expected, atol=1e-12)


def test_a_definition_equal_to_the_library_s_is_the_library_s_gate():
    """The same circuit, of the same fingerprint; other definitions are other circuits."""

    def fingerprint(definition, head=HEAD2):
        return read_openqasm(
            head + definition + TWO + "rzz(0.3) q[0],q[1]; measure q->c;"
        ).fingerprint

    plain = fingerprint("")
    assert fingerprint("gate rzz(t) a,b { cx a,b; u1(t) b; cx a,b; } ") == plain
    twice = fingerprint("gate rzz(t) a,b { cx a,b; u1(2*t) b; cx a,b; } ")
    thrice = fingerprint("gate rzz(t) a,b { cx a,b; u1(3*t) b; cx a,b; } ")
    spaced = fingerprint("gate rzz(t)  a,b {\n cx a,b; u1(2*t) b; cx a,b; } ")
    assert len({plain, twice, thrice}) == 3
    assert spaced == twice


def test_an_executed_gate_is_the_device_s(tmp_path):
    """A definition equal to it is accepted, another is not: what ran is not what it says."""
    sx = HEAD2 + "gate sx a { sdg a; h a; sdg a; } " + ONE + "sx q[0]; measure q->c;"
    row = stored(tmp_path, sx, circuit_stage="executed")
    assert [i["gate"] if isinstance(i, dict) else i[0] for i in row["instructions"]] == ["sx"]
    for gate in ("rz(t) a { U(0,0,2*t) a; }", "sx a { x a; }", "g a { x a; }"):
        name = gate.split("(")[0].split()[0]
        call = f"{name}(0.3) q[0];" if "(t)" in gate else f"{name} q[0];"
        program = HEAD2 + f"gate {gate} " + ONE + call + "measure q->c;"
        text = refusal(tmp_path, program, circuit_stage="executed")
        assert f"defines a gate {name!r} of its own" in text
        assert "circuit_stage: submitted" in text


def test_an_opaque_gate_in_use_is_refused(tmp_path):
    for body, name in (
        ("opaque mygate a; " + ONE + "mygate q[0];", "mygate"),
        ("opaque f a; gate g a { f a; } " + ONE + "g q[0];", "f"),
        ("opaque rzz(t) a,b; " + TWO + "rzz(1) q[0],q[1];", "rzz"),
    ):
        text = refusal(tmp_path, HEAD2 + body + "measure q->c;")
        assert f"its gate {name!r} is opaque" in text
    unused = "opaque mygate a; opaque delay(t) a; " + ONE + "delay(100) q[0]; x q[0]; measure q->c;"
    assert stored(tmp_path, HEAD2 + unused)["ideal"] == [0, 1]


def test_the_proof_does_not_share_its_reader_with_the_label(tmp_path, monkeypatch):
    """Qiskit's reading of its own gates in place of the program's is found out."""
    program = HEAD2 + RXX_OTHERWISE + TWO + "rxx(pi/4) q[0],q[1]; measure q->c;"
    monkeypatch.setattr(openqasm, "_rename_own_gates", lambda text: text)
    assert "two independent readings of its program disagree (by 0.35)" in refusal(
        tmp_path, program
    )


@pytest.mark.parametrize(
    "body",
    [
        "h q[0]; ctrl @ U(1,2,3) q[0],q[1]; h q[0];",  # U has another phase than Qiskit's
        "h q; rz(-1/2) q; h q;",  # -1/2 is 0, not -1
    ],
)
def test_what_two_readings_say_differently_is_refused(tmp_path, body):
    text = refusal(tmp_path, HEAD3 + "qubit[2] q; bit[2] c; " + body + "c = measure q;")
    assert "two independent readings of its program disagree" in text


@pytest.mark.parametrize(
    "program",
    [
        HEAD2 + ONE + "rz(1e400) q[0]; measure q->c;",
        HEAD2 + ONE + "rz(-1e400) q[0]; measure q->c;",
        HEAD2 + "gate g(t) a { rz(t*1e400) a; } " + ONE + "g(1) q[0]; measure q->c;",
        HEAD3 + "qubit q; bit c; rz(1e400) q; c = measure q;",
    ],
)
def test_an_angle_that_is_not_finite_is_refused(tmp_path, program):
    assert "give a finite number" in refusal(tmp_path, program)


@pytest.mark.parametrize(
    "program",
    [
        HEAD2 + "gate g(t) a { rz(1/t) a; } " + ONE + "g(0) q[0]; measure q->c;",
        HEAD3 + "qubit q; bit c; rz(1/0.0) q; c = measure q;",
        HEAD2 + "gate g0 a { x a; } "
        + "".join(f"gate g{k} a {{ g{k - 1} a; }} " for k in range(1, 2000))
        + ONE + "g1999 q[0]; measure q->c;",
    ],
)  # fmt: skip
def test_other_arithmetic_is_refused_in_one_sentence(tmp_path, program):
    assert "\n" not in refusal(tmp_path, program)


def test_physical_qubits_in_a_submitted_program_are_recorded(tmp_path):
    program = HEAD3 + "bit[2] c; x $7; cx $7, $8; c[0] = measure $7; c[1] = measure $8;"
    row = stored(tmp_path, program, device="ibm_fez", physical_qubits=None)
    assert row["layout"] == [7, 8]
    assert json.loads(row["family_params"])["layout"] == "recorded"
    for stage in ("submitted", "executed"):
        changes = {"circuit_stage": stage, "physical_qubits": [3, 5]}
        program = program.replace("cx", "cz") if stage == "executed" else program
        text = refusal(tmp_path, program, **changes)
        assert "names the physical qubits $7, $8, physical_qubits names others" in text


def test_executed_circuits_that_the_device_can_t_run_are_told_by_record(tmp_path):
    """ibm_fez has the qubits 0-155, cz and no cx; 3 and 16 are coupled, 0 and 2 are not."""
    program = HEAD2 + TWO + "x q[0]; cz q[0],q[1]; measure q->c;"
    places = {"far": [500, 501], "apart": [0, 2], "right": [0, 1], "cx": [0, 1]}
    path = tmp_path / "given.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "id": name,
                    "qasm": program.replace("cz", "cx") if name == "cx" else program,
                    "circuit_stage": "executed",
                    "device": "ibm_fez",
                    "counts": {"01": 10},
                    "physical_qubits": qubits,
                }
            )
            + "\n"
            for name, qubits in places.items()
        )
    )
    done = import_file(path, tmp_path / "set", ImportOptions("set"))
    assert done.manifest.recipe["imported"]["unknown_to_device"] == {
        "far": "qubit 500, qubit 501",
        "apart": "cz on 0 and 2",
        "cx": "gate cx",
    }
