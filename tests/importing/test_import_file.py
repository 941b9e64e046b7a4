"""An imported file: labels proven, shapes of every kind, bad records refused by name."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector

from qmend.datasets.circuits import fill_missing
from qmend.datasets.config import SplitConfig
from qmend.datasets.expectations import load_expectations
from qmend.datasets.table import load_dataset
from qmend.devices.imputation import MeanCalibration
from qmend.encodings import ENCODINGS
from qmend.importing.importer import import_file
from qmend.importing.orders import Bits
from qmend.importing.rows import ImportOptions
from qmend.importing.splits import split_rows
from qmend.importing.verify import verify_imported
from qmend.types import QmendError
from reference import hashes, measured_probabilities, qiskit_circuit, rewrite_shard, stored_rows

BELL = """OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];
    h q[0]; cx q[0],q[1]; measure q -> c;"""


def record(name="a", **changes) -> dict:
    plain = {
        "id": name,
        "qasm": BELL,
        "circuit_stage": "submitted",
        "device": "lab",
        "counts": {"00": 60, "11": 40},
        "job_id": name,
    }
    return {k: v for k, v in {**plain, **changes}.items() if v is not None}


def write(folder: Path, *records: dict) -> Path:
    path = folder / "given.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def imported(folder: Path, *records: dict, **options):
    done = import_file(write(folder, *records), folder / "set", ImportOptions("set", **options))
    return done, stored_rows(folder / "set")


def measured_circuit(seed: int, n: int = 3, bits=None) -> QuantumCircuit:
    circuit = random_circuit(n, 4, max_operands=2, seed=seed)
    bits = list(range(n)) if bits is None else bits
    circuit.add_register(*QuantumCircuit(0, len(bits)).cregs)
    circuit.measure(bits, range(len(bits)))
    return circuit


def expected(circuit: QuantumCircuit) -> np.ndarray:
    """Distribution of the classical bits, from the circuit as Qiskit has it."""
    behind = {
        circuit.find_bit(i.clbits[0]).index: circuit.find_bit(i.qubits[0]).index
        for i in circuit.data
        if i.operation.name == "measure"
    }
    state = Statevector(circuit.remove_final_measurements(inplace=False))
    return state.probabilities([behind[k] for k in sorted(behind)])


def drawn(circuit: QuantumCircuit, shots=4000, seed=0) -> dict[str, int]:
    ideal = expected(circuit)
    n = len(ideal).bit_length() - 1
    counts = np.random.default_rng(seed).multinomial(shots, ideal / ideal.sum())
    return {format(k, f"0{n}b"): int(c) for k, c in enumerate(counts) if c}


def test_circuits_of_all_sizes_are_loaded_by_their_measured_qubits(tmp_path):
    """The last circuit measures one qubit of two, in place of all."""
    one = BELL.replace("measure q -> c", "measure q[1] -> c[0]").replace("creg c[2]", "creg c[1]")
    sizes = [
        record(f"r{n}", qasm=qasm2.dumps(c), counts=drawn(c))
        for n in (3, 4)
        for c in [measured_circuit(n, n)]
    ]
    done, _ = imported(tmp_path, *sizes, record("one", qasm=one, counts={"0": 5, "1": 7}))
    groups = load_dataset(done.folder).groups
    sizes = [(group.circuits.n_qubits, group.circuits.n_measured) for group in groups]
    assert sizes == [(2, 1), (3, 3), (4, 4)]
    np.testing.assert_allclose(groups[0].circuits.noisy, [[5 / 12, 7 / 12]])
    np.testing.assert_allclose(groups[0].ideal, [[0.5, 0.5]])
    assert load_dataset(done.folder, 3).rows.circuits.n_qubits == 3
    with pytest.raises(QmendError, match="choose n_qubits among 2, 3, 4"):
        load_dataset(done.folder, 5)
    with pytest.raises(QmendError, match="1 of 2, 3 of 3, 4 of 4 qubits, and only circuits of one"):
        load_dataset(done.folder).rows  # noqa: B018


@pytest.mark.parametrize("device", ["lab", "ibmq_belem", "ibm_fez", "ibmqx2"])
def test_submitted_circuits_are_compiled_with_their_labels(tmp_path, device):
    """Routing permutes qubits; each row's own instructions still give its ideal distribution."""
    circuits = [measured_circuit(seed, 4) for seed in range(5)]
    given = [
        record(f"r{k}", qasm=qasm2.dumps(c), counts=drawn(c), device=device)
        for k, c in enumerate(circuits)
    ]
    done, rows = imported(tmp_path, *given)
    native = {"lab": {"cx"}, "ibm_fez": {"cz"}}.get(device, {"cx"})
    for row, circuit in zip(rows, circuits, strict=True):
        assert {g for g, *_ in row["gates"]} <= {"rz", "sx", "x", "id"} | native
        own = measured_probabilities(qiskit_circuit(row["gates"], 4), row["measured"])
        np.testing.assert_allclose(own, expected(circuit), atol=1e-9)
        np.testing.assert_allclose(row["ideal"], expected(circuit), rtol=0, atol=6e-8)
        assert row["circuit_stage"] == "submitted"
        assert json.loads(row["family_params"])["layout"] == "assumed"
        assert sum(row["counts"]) == row["shots"] == 4000
    assert any(row["measured"] != [0, 1, 2, 3] for row in rows)
    assert done.check.better == {}
    assert verify_imported(tmp_path / "set").rows == 5


def test_executed_circuits_stay_as_they_are(tmp_path):
    program = """OPENQASM 3.0; include "stdgates.inc"; bit[2] c;
        sx $5; rz(pi/3) $3; cx $3, $5; delay[100ns] $3; x $3;
        c[0] = measure $5; c[1] = measure $3;"""
    counts = {"11": 30, "10": 20}
    _, (row,) = imported(
        tmp_path,
        record(qasm=program, counts=counts, circuit_stage="executed", device="ibm_algiers"),
    )
    assert row["layout"] == [3, 5]
    assert row["gates"] == [
        ("sx", 1, -1, 0.0),
        ("rz", 0, -1, pytest.approx(np.pi / 3)),
        ("cx", 0, 1, 0.0),
        ("x", 0, -1, 0.0),
    ]
    assert row["measured"] == [1, 0]
    np.testing.assert_allclose(row["ideal"], [0, 0, 0.5, 0.5], atol=1e-12)
    assert row["counts"] == [0, 0, 20, 30]
    assert json.loads(row["family_params"])["layout"] == "executed"


def test_physical_qubits_are_the_layout(tmp_path):
    sent = record("sent", device="ibmq_belem", physical_qubits=[4, 3])
    ran = record(
        "ran",
        device="ibmq_belem",
        circuit_stage="executed",
        qasm=BELL.replace("h q[0]", "sx q[0]"),
        physical_qubits=[4, 3],
    )
    apart = record("apart", device="ibmq_belem", physical_qubits=[0, 4])  # no coupling
    _, rows = imported(tmp_path, sent, ran, apart)
    assert [row["layout"] for row in rows[:2]] == [[4, 3], [4, 3]]
    origins = [json.loads(row["family_params"])["layout"] for row in rows]
    assert origins == ["recorded", "executed", "assumed"]
    assert rows[2]["layout"] != [0, 4]


def test_circuits_that_ran_on_a_faulty_gate_are_taken(tmp_path):
    """CX between 15 and 18 of FakeAlgiers has an error of 1; the counts exist all the same."""
    _, (row,) = imported(tmp_path, record(device="ibm_algiers", physical_qubits=[15, 18]))
    assert row["layout"] == [15, 18]


def test_partial_measurement(tmp_path):
    """Only the measured bits; two of four qubits, into bits that are not the first."""
    program = """OPENQASM 2.0; include "qelib1.inc"; qreg q[4]; creg a[1]; creg c[3];
        h q[0]; cx q[0],q[2]; ry(0.4) q[3]; cx q[2],q[3]; x q[1]; cx q[0],q[1];
        measure q[3] -> c[0]; measure q[1] -> c[2];"""
    circuit = QuantumCircuit.from_qasm_str(program)
    ideal = expected(circuit)  # bits c[0] and c[2]
    counts = {f"{k >> 1}0{k & 1} 0": int(1000 * p) + 1 for k, p in enumerate(ideal)}
    done, (row,) = imported(tmp_path, record(qasm=program, counts=counts))
    assert len(row["measured"]) == 2
    assert row["counts"] == [counts[f"{k >> 1}0{k & 1} 0"] for k in range(4)]
    np.testing.assert_allclose(row["ideal"], ideal, rtol=0, atol=6e-8)
    own = measured_probabilities(qiskit_circuit(row["gates"], 4), row["measured"])
    np.testing.assert_allclose(own, ideal, atol=1e-9)
    rows = load_dataset(done.folder, 4).rows  # qubit 1 comes before qubit 3 in the chain
    assert rows.circuits.measured.tolist() == [row["measured"]]
    in_chain = [0, 2, 1, 3] if row["measured"][0] > row["measured"][1] else [0, 1, 2, 3]
    np.testing.assert_array_equal(rows.ideal[0], np.array(row["ideal"])[in_chain])


def test_more_than_ten_bits_are_sparse(tmp_path):
    circuit = QuantumCircuit(12, 12)
    circuit.h(0)
    for q in range(11):
        circuit.cx(q, q + 1)
    circuit.x(11)
    circuit.measure(range(12), range(12))
    a, b, wrong = "1" + "0" * 11, "0" + "1" * 11, "1" * 12
    counts = {a: 500, b: 450, wrong: 50}
    _, (row,) = imported(tmp_path, record(qasm=qasm3.dumps(circuit), counts=counts))
    assert row["outcomes"] == sorted(int(o, 2) for o in counts)
    assert dict(zip(row["outcomes"], row["counts"], strict=True)) == {
        int(o, 2): c for o, c in counts.items()
    }
    np.testing.assert_allclose(row["ideal"], [0.5, 0.5, 0.0], atol=1e-9)
    assert verify_imported(tmp_path / "set").rows == 1


def test_one_qubit(tmp_path):
    program = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[1]; h q[0]; measure q -> c;'
    for device in ("lab", "ibm_fez"):
        (tmp_path / device).mkdir()
        given = record(qasm=program, counts={"0": 5, "0x1": 3}, device=device)
        _, (row,) = imported(tmp_path / device, given)
        assert row["counts"] == [5, 3]
        np.testing.assert_allclose(row["ideal"], [0.5, 0.5])


def test_reversed_bitstrings_are_noticed_and_can_be_put_right(tmp_path):
    circuits = [measured_circuit(seed) for seed in range(40, 52)]
    given = [
        record(
            f"r{k}", qasm=qasm2.dumps(c), counts={o[::-1]: n for o, n in drawn(c, seed=k).items()}
        )
        for k, c in enumerate(circuits)
    ]
    path = write(tmp_path, *given)
    wrong = import_file(path, tmp_path / "wrong", ImportOptions("wrong"))
    assert wrong.check.better[Bits.of(3)][0] == "reversed"
    assert wrong.check.doubtful
    facts = wrong.manifest.recipe["imported"]["bit_order_check"]
    assert facts["better"] == {"3": "reversed"}
    right = import_file(path, tmp_path / "right", ImportOptions("right", bit_order="reversed"))
    assert right.check.better == {}
    assert not right.check.doubtful
    for row, c in zip(stored_rows(tmp_path / "right"), circuits, strict=True):
        assert np.abs(np.array(row["counts"]) / 4000 - expected(c)).sum() / 2 < 0.05


WRONG_ECR = """OPENQASM 3.0; include "stdgates.inc"; gate ecr a, b { x a; }
    qubit[2] q; bit[2] c; ecr q[0], q[1]; c = measure q;"""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": {"000": 100}}, "outcome '000' does not fit the circuit's 2 classical bits"),
        ({"counts": {"0": 100}}, "outcome '0' does not fit"),
        ({"counts": {"0x4": 100}}, "outcome '0x4' does not fit"),
        ({"counts": {"02": 100}}, "neither a bitstring nor hexadecimal"),
        ({"counts": {"00": -1, "11": 5}}, "counts.00: .*greater than or equal to 0"),
        ({"counts": {"00": 1.5}}, "counts: 1.5 may be a probability"),
        ({"counts": {"00": 2**52, "01": 2**53}}, "more than any device can run"),
        ({"counts": {"11": 5, "0x3": 9}}, "outcomes '11' and '0x3' are the same one"),
        ({"counts": {"01": 1, "00": 0}}, "add up to 1, as probabilities do"),
        ({"counts": {"00": 0}}, "add up to 0"),
        ({"counts": {}}, "add up to 0"),
        ({"shots": 101}, "counts add up to 100, its shots are 101"),
        ({"counts": None}, "either counts or values"),
        ({"values": [0.5]}, "either counts or values"),
        ({"qasm": BELL.replace("h q[0]", "hh q[0]")}, "can't be parsed .*hh"),
        ({"qasm": BELL.replace("qelib1", "/etc/qelib1")}, "only qelib1.inc and stdgates.inc"),
        ({"circuit_stage": "executed"}, "the gate 'h', which is outside the native set"),
        ({"circuit_stage": "guessed"}, "circuit_stage"),
        ({"circuit_stage": "executed", "qasm": WRONG_ECR}, "a gate 'ecr' of its own"),
        ({"physical_qubits": [3]}, "physical_qubits names 1 qubits"),
        ({"physical_qubits": [3, 3]}, "names a qubit twice"),
        ({"ideal": {"01": 1.0}}, "its ideal distribution is not its circuit's"),
        ({"date": "yesterday"}, "yesterday"),
        ({"count": {"00": 1}}, "unknown field 'count'. Did you mean 'counts'"),
        ({"calibration": {"t1_us": -1.0}}, "calibration: t1_us"),
        ({"calibration": {"t1_us": 50.0}}, "calibration needs a time"),
        ({"calibration": {"t1_us": 50.0, "time": 20240501}}, "time: 20240501 is no time"),
        ({"calibration": {"t1_us": 50.0, "time": "20240501"}}, "a time with a time zone"),
        ({"calibration": {"t1_us": 50.0, "time": "1714521600"}}, "time: Invalid isoformat"),
        ({"calibration": {"t1_us": np.inf, "time": "2024-05-01T00:00Z"}}, "t1_us: .*finite"),
        ({"calibration": {"t1_us": 5e-5, "time": "2024-05-01T00:00Z"}}, "t1_us: .*not believable"),
        ({"calibration": {"qubits": [], "gates": []}}, "[Cc]alibration"),
    ],
)
def test_a_bad_record_is_refused_by_name_and_nothing_is_written(tmp_path, changes, message):
    path = write(tmp_path, record("good"), record("bad one", **changes))
    with pytest.raises(QmendError, match=message) as told:
        import_file(path, tmp_path / "set", ImportOptions("set"))
    assert "record bad one" in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no record"),
        ("{", "line 1 is no JSON"),
        ("[1]", "line 1 is no JSON object"),
        (json.dumps(record()) + "\n" + json.dumps(record()), "two records are called a"),
        (
            json.dumps(record())
            + "\n"
            + json.dumps(record("b", counts=None, values=[0.1], observables=["ZI"], shots=9)),
            "from two files",
        ),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    path = tmp_path / "given.jsonl"
    path.write_text(text)
    with pytest.raises(QmendError, match=message):
        import_file(path, tmp_path / "set", ImportOptions("set"))
    with pytest.raises(QmendError, match="can't be read"):
        import_file(tmp_path / "none.jsonl", tmp_path / "set", ImportOptions("set"))
    with pytest.raises(QmendError, match=r"neither \.jsonl nor \.parquet"):
        import_file(tmp_path / "none.csv", tmp_path / "set", ImportOptions("set"))


def many(count=60) -> list[dict]:
    """Twenty circuits, each in three jobs of one circuit."""
    given = []
    for k in range(count):
        circuit = measured_circuit(k % 20)
        given.append(record(f"r{k}", qasm=qasm2.dumps(circuit), counts=drawn(circuit, 100, k)))
    return given


def test_the_same_file_gives_the_same_bytes(tmp_path):
    given = many(12)
    done, _ = imported(tmp_path, *given)
    before = hashes(done.folder)
    again = import_file(tmp_path / "given.jsonl", done.folder, ImportOptions("set"))
    assert again.unchanged
    assert hashes(done.folder) == before
    table = pa.Table.from_pylist([{**r, "counts": json.dumps(r["counts"])} for r in given])
    pq.write_table(table, tmp_path / "given.parquet")
    other = import_file(tmp_path / "given.parquet", tmp_path / "other", ImportOptions("set"))
    for name in ("circuits-00000.parquet", "calibrations.parquet"):
        assert hashes(other.folder)[name] == before[name]


def test_another_dataset_is_not_overwritten_unless_told(tmp_path):
    done, _ = imported(tmp_path, record())
    before = hashes(done.folder)
    path = write(tmp_path, record("other"))
    with pytest.raises(QmendError, match=r"holds another dataset; .*--replace"):
        import_file(path, done.folder, ImportOptions("set"))
    assert hashes(done.folder) == before
    (done.folder / "NOTES").write_text("kept")
    import_file(path, done.folder, ImportOptions("set"), replace=True)
    (row,) = stored_rows(done.folder)
    assert json.loads(row["family_params"])["record"] == "other"
    assert (done.folder / "NOTES").read_text() == "kept"


def test_a_kill_leaves_nothing_half(tmp_path):
    """Killed while it works on its records: no folder, and the same command succeeds."""
    path = write(tmp_path, *many(60))
    script = f"""
from pathlib import Path
from qmend.importing.importer import import_file
from qmend.importing.orders import Bits
from qmend.importing.rows import ImportOptions
def progress(done, total):
    if done == 30:
        print("half", flush=True)
        import time; time.sleep(60)
import_file(Path({str(path)!r}), Path({str(tmp_path / "set")!r}), ImportOptions("set"), progress)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["given.jsonl"]
    assert import_file(path, tmp_path / "set", ImportOptions("set")).manifest.rows == 60


def test_files_without_a_manifest_are_no_dataset(tmp_path):
    """Killed between the files: refused when read, finished by the same command."""
    done, _ = imported(tmp_path, *many(6))
    before = hashes(done.folder)
    (done.folder / "manifest.json").unlink()
    (done.folder / ".circuits-00000.parquet.part").write_bytes(b"half")
    with pytest.raises(QmendError, match="no complete dataset"):
        load_dataset(done.folder)
    import_file(tmp_path / "given.jsonl", done.folder, ImportOptions("set"))
    assert hashes(done.folder) == before


def test_a_circuit_is_never_in_two_splits(tmp_path):
    done, rows = imported(tmp_path, *many())
    by_source: dict[str, set[str]] = {}
    for row in rows:
        name = json.loads(row["family_params"])["circuit"]
        by_source.setdefault(name, set()).add(row["split"])
    assert len(by_source) == 20
    assert all(len(splits) == 1 for splits in by_source.values())
    assert {s for splits in by_source.values() for s in splits} == {"train", "val", "test"}
    assert done.manifest.recipe["imported"]["split"]["by"] == "job"


@pytest.mark.parametrize("seed", range(25))
def test_splits_hold_for_any_jobs_and_circuits(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 120))
    circuits = [[f"c{c}", f"d{c // 2}"] for c in rng.integers(0, rng.integers(1, 40), rows)]
    jobs = [f"j{j}" for j in rng.integers(0, rng.integers(1, 60), rows)]
    splits, by = split_rows(circuits, jobs, SplitConfig(), seed)
    assert (splits, by) == split_rows(circuits, jobs, SplitConfig(), seed)
    names = [[n for pair in circuits for n in pair], [s for s in splits for _ in range(2)]]
    held = [set(zip(*names, strict=True))]
    if by == "job":
        held.append(set(zip(jobs, splits, strict=True)))
    for pairs in held:
        assert len({name for name, _ in pairs}) == len(pairs)
    groups = len({d for _, d in circuits})
    if by == "circuit" and groups >= 3:
        assert set(splits) == {"train", "val", "test"}
    if groups == 1:
        assert set(splits) == {"test"}


def test_medians_stand_for_the_chain_and_gaps_are_filled_on_request_only(tmp_path):
    medians = {"time": "2026-01-01T00:00:00+00:00", "t1_us": 150.0, "readout_error": 0.01}
    given = [
        record("medians", device="ibm_fez", calibration=medians),
        record("none", device="rigetti_x", qasm=BELL.replace("h q[0]", "x q[0]")),
    ]
    done, rows = imported(tmp_path, *given)
    assert [row["calibration_id"] is None for row in rows] == [False, True]
    data = load_dataset(done.folder)
    batch = data.rows.circuits
    known = batch.calibrations[batch.calibration_index[0]]
    assert [q.t1_us for q in known.qubits] == [150.0, 150.0]
    with pytest.raises(QmendError, match="lacks"):
        ENCODINGS["token"]().fit(batch)
    typical = MeanCalibration(30.0, 20.0, 5.0, 0.02, 1e-3, 40.0, 1e-2, 300.0, 800.0)
    filled = fill_missing(batch, typical)
    assert filled.rows == 2
    after = filled.circuits.calibrations
    assert after[batch.calibration_index[0]].qubits[0].t1_us == 150.0
    assert after[batch.calibration_index[1]].qubits[0].t1_us == 30.0
    encoded = ENCODINGS["token"]().fit(filled.circuits)(filled.circuits)
    assert encoded.tokens.isfinite().all()
    only_known = fill_missing(batch.select(np.array([0])), typical)
    assert only_known.rows == 1
    assert only_known.values < filled.values


def test_a_whole_snapshot_is_kept(tmp_path, algiers):
    snapshot = algiers.calibration.model_dump(mode="json")
    changes = {"calibration": snapshot, "physical_qubits": [2, 1]}
    done, (row,) = imported(tmp_path, record(device="ibm_algiers", **changes))
    assert row["calibration_id"] == algiers.calibration.calibration_id
    batch = load_dataset(done.folder).rows.circuits
    assert batch.calibrations[0] == algiers.calibration.restrict([2, 1])
    assert fill_missing(batch, MeanCalibration(t1_us=1.0, readout_error=0.5)).values == 0


def test_dates_without_a_zone_are_not_guessed(tmp_path):
    _, rows = imported(
        tmp_path,
        record("zoned", date="2026-02-03T04:05:06+02:00"),
        record("local", date="2026-02-03T04:05:06"),
    )
    assert rows[0]["executed_at"].isoformat() == "2026-02-03T02:05:06+00:00"
    assert rows[1]["executed_at"] is None
    assert json.loads(rows[1]["family_params"])["local_date"] == "2026-02-03T04:05:06"


def test_expectation_values_are_of_classical_bits(tmp_path):
    """The measurement map is followed: bit 0 is read from qubit 1."""
    program = """OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];
        sx q[0]; rz(0.3) q[0]; sx q[0]; x q[1]; measure q[0] -> c[1]; measure q[1] -> c[0];"""
    values = [-0.9, -0.8, 0.7]
    given = record(
        qasm=program,
        counts=None,
        circuit_stage="executed",
        observables=["IZ", "ZI", "ZZ"],
        values=values,
        shots=1000,
    )
    done = import_file(write(tmp_path, given), tmp_path / "set", ImportOptions("set"))
    data = load_expectations(done.folder)
    z = Statevector(QuantumCircuit.from_qasm_str(program).remove_final_measurements(False))
    z0 = float(np.diff(z.probabilities([0])[::-1])[0])
    np.testing.assert_allclose(data.ideal_values, [[-1, z0, -z0]], atol=1e-9)
    np.testing.assert_allclose(data.values, [values])
    assert data.extrapolated_values is None
    assert data.measured.tolist() == [[1, 0]]
    rows = load_dataset(done.folder).rows  # of ZZ, two qubits, there is no row
    assert rows.circuits.measured.tolist() == [[1], [0]]
    np.testing.assert_allclose(rows.circuits.noisy, [[0.05, 0.95], [0.1, 0.9]])
    np.testing.assert_allclose(rows.ideal, [[0, 1], [(1 + z0) / 2, (1 - z0) / 2]], atol=6e-8)
    assert len(set(rows.circuit_id.tolist())) == 2
    other = write(tmp_path, {**given, "ideal_values": [z0, -1.0, -z0]})
    with pytest.raises(QmendError, match="ideal values are not its circuit's"):
        import_file(other, tmp_path / "other", ImportOptions("set"))


def test_verify_notices_what_hashes_do_not(tmp_path):
    """A permuted label with fitting hashes."""
    done, rows = imported(tmp_path, *many(6))
    ideal = [row["ideal"] for row in rows]
    rewrite_shard(done.folder, 0, {"ideal": [ideal[0][::-1], *ideal[1:]]})
    with pytest.raises(QmendError, match=r"row 0 \(r0\): its ideal values are not"):
        verify_imported(done.folder)
    rewrite_shard(done.folder, 0, {"ideal": [[float("nan")] * len(ideal[0]), *ideal[1:]]})
    with pytest.raises(QmendError, match=r"row 0 \(r0\): its ideal values are not"):
        verify_imported(done.folder)
    rewrite_shard(done.folder, 0, {"ideal": ideal, "shots": [101] + [100] * 5})
    with pytest.raises(QmendError, match="do not add up"):
        verify_imported(done.folder)
    rewrite_shard(done.folder, 0, {"shots": [100] * 6, "circuit_id": ["0"] * 6})
    with pytest.raises(QmendError, match="circuit_id is not the hash"):
        verify_imported(done.folder)


def test_verify_notices_a_circuit_in_two_splits(tmp_path):
    done, rows = imported(tmp_path, record("a"), record("b"))
    assert {row["split"] for row in rows} == {"test"}
    rewrite_shard(done.folder, 0, {"split": ["train", "test"]})
    with pytest.raises(QmendError, match="is in two splits"):
        verify_imported(done.folder)
