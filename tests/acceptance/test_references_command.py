"""`qmend references`: files that run beside their circuit, and come back as measurements."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commandline import Command
from qiskit import QuantumCircuit, qasm2, qasm3, transpile
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeAlgiers, FakeSherbrooke

from qmend.circuits.measured import native_instructions
from qmend.datasets.table import load_dataset
from qmend.gates import GATES
from qmend.importing.importer import import_file
from qmend.importing.openqasm import parse_openqasm, read_openqasm
from qmend.importing.rows import ImportOptions

SHOTS = 4000


def compiled(backend: FakeAlgiers | FakeSherbrooke) -> QuantumCircuit:
    """Two of three qubits measured, into crossed bits of a wider register."""
    circuit = QuantumCircuit(3, 3)
    for layer in range(2):
        for q in range(3):
            circuit.ry(0.4 + q + layer, q)
        circuit.cx(0, 1)
        circuit.cx(1, 2)
    circuit.measure([0, 2], [2, 0])
    return transpile(circuit, backend, optimization_level=1, seed_transpiler=0)


@pytest.mark.parametrize(
    ("backend", "language", "device"),
    [(FakeAlgiers, qasm2, "ibm_algiers"), (FakeSherbrooke, qasm3, "ibm_sherbrooke")],
)
def test_they_are_run_and_imported(here: Command, tmp_path: Path, backend, language, device):
    """The import proves their ideals, and that counts show a trace of them."""
    target = compiled(backend())
    (tmp_path / "mine.qasm").write_text(language.dumps(target))
    said = here("references", "mine.qasm", "references.count=4").succeeded().out
    folder = tmp_path / "mine_references"
    assert "mine_references: 4 references and references.jsonl" in said
    records = [json.loads(line) for line in (folder / "references.jsonl").read_text().splitlines()]
    programs = [path.read_text() for path in sorted(folder.glob("*.qasm"))]
    assert programs == [record["qasm"] for record in records]
    assert len(set(programs)) == 4
    source = read_openqasm(language.dumps(target))
    for record in records:
        own = read_openqasm(record["qasm"])
        for part in ("qubits", "measured", "clbits"):
            assert getattr(own, part) == getattr(source, part)
        gates = [
            [(name, a, b) for name, a, b, _ in native_instructions(each, GATES)]
            for each in (own, source)
        ]
        assert gates[0] == gates[1]
        ideal = np.zeros(8)
        for bits, value in record["ideal"].items():
            ideal[int(bits, 2)] = value
        np.testing.assert_allclose(ideal[[0, 1, 4, 5]], own.probabilities(), atol=1e-12)

    simulator = AerSimulator.from_backend(backend(), seed_simulator=0, max_parallel_threads=1)
    runs = simulator.run([parse_openqasm(text) for text in programs], shots=SHOTS).result()
    for record, counts in zip(records, runs.get_counts(), strict=True):
        record |= {"device": device, "job_id": "one", "counts": counts}
    path = tmp_path / "measured.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    done = import_file(path, tmp_path / "data" / "mine", ImportOptions("mine"))
    assert not done.manifest.recipe["imported"]["far_from_ideal"]
    assert len(load_dataset(tmp_path / "data" / "mine").rows) == 4


def test_what_can_not_be_written_is_refused(here: Command, tmp_path: Path) -> None:
    here("references").refused("circuit")
    here("references", "nowhere.qasm", "output=a").refused("nowhere.qasm", "can't be read")
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.measure_all()
    (tmp_path / "bell.qasm").write_text(qasm2.dumps(bell))
    here("references", "bell.qasm").refused("bell.qasm: it has the gate 'h'", "compile it")
    (tmp_path / "own.qasm").write_text(
        'OPENQASM 2.0; include "qelib1.inc"; gate odd a { rz(0.1) a; }\n'
        "qreg q[1]; creg c[1]; odd q[0]; measure q -> c;"
    )
    here("references", "./own.qasm").refused("own.qasm: it has the gate 'odd'")
    assert {path.name for path in tmp_path.iterdir()} == {"bell.qasm", "own.qasm"}
