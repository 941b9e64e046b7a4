"""Generation: proven labels, equal bytes, resumption, refusals."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

import qmend.generation.generate as generate_module
from qmend.circuits.families import Family, SourceCircuit
from qmend.datasets.config import DatasetConfig, SplitConfig
from qmend.devices.device import DeviceConfig
from qmend.files import write_atomically
from qmend.generation.generate import generate
from qmend.generation.job import circuit_seed
from qmend.types import QmendError
from reference import hashes, measured_probabilities, move_bits, qiskit_circuit, stored_rows


@pytest.fixture(scope="module")
def rows(tiny_folder) -> list[dict]:
    return stored_rows(tiny_folder)


@pytest.fixture(scope="module")
def small() -> DatasetConfig:
    """24 circuits in 12 jobs and 3 shards."""
    return DatasetConfig(
        name="small",
        family={"name": "pauli", "gadgets_min": 1, "gadgets_max": 3},
        circuits=24,
        job_size=2,
        jobs_per_shard=4,
        shots=500,
        seed=5,
    )


@pytest.fixture(scope="module")
def reference_hashes(small, device_config, tmp_path_factory) -> dict[str, str]:
    """Of an uninterrupted generation with one worker."""
    folder = tmp_path_factory.mktemp("reference") / "small"
    assert generate(small, device_config, folder).circuits_made == 24
    return hashes(folder)


class StoppedError(Exception):
    """Stands for ctrl-C in a progress callback."""


def interrupt_at(call: int):
    """A progress callback that raises at its n-th call."""
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == call:
            raise StoppedError

    return progress


# Labels


def test_every_stored_circuit_measures_to_its_ideal_distribution(rows):
    """The noiseless measured distribution of the stored instructions, built anew in Qiskit."""
    assert len(rows) == 96
    for row in rows:
        circuit = qiskit_circuit(row["gates"], row["n_qubits"])
        expected = measured_probabilities(circuit, row["measured"])
        np.testing.assert_allclose(row["ideal"], expected, atol=2**-24, rtol=0)


def test_routing_makes_that_proof_necessary(rows):
    """Most circuits end permuted, and ignoring it would change their labels."""
    moved = [r for r in rows if r["measured"] != [0, 1, 2, 3, 4]]
    assert len(moved) > len(rows) / 3
    wrong = 0
    for row in moved:
        chain = Statevector(qiskit_circuit(row["gates"], 5)).probabilities()
        wrong += np.abs(chain - row["ideal"]).max() > 0.01
    assert wrong > len(moved) / 2


def test_ideal_is_the_sources_statevector(rows, tiny_config):
    """The source is drawn again from the stored seed, and evaluated by Qiskit alone."""
    for row in rows:
        source = tiny_config.family.draw(np.random.default_rng(row["seed"]))
        assert json.loads(row["family_params"]) == source.params
        expected = Statevector(source.circuit).probabilities()
        np.testing.assert_allclose(row["ideal"], expected, atol=2**-24, rtol=0)


def test_the_compiled_unitary_is_the_sources_up_to_the_recorded_permutation(rows, tiny_config):
    """On a sample: U_compiled = phase * P U_source with P taken from ``measured``."""
    for row in rows[::12]:
        source = tiny_config.family.draw(np.random.default_rng(row["seed"])).circuit
        permutation = np.zeros((32, 32))
        permutation[move_bits(5, row["measured"]), np.arange(32)] = 1
        expected = Operator(permutation @ Operator(source).data)
        assert Operator(qiskit_circuit(row["gates"], 5)).equiv(expected, atol=1e-9)


def test_columns_agree_with_the_instructions(rows, algiers):
    for row in rows:
        circuit = qiskit_circuit(row["gates"], 5)
        assert row["depth"] == circuit.depth()
        assert row["n_two_qubit"] == circuit.num_nonlocal_gates()
        assert sum(row["counts"]) == row["shots"] == 2000
        assert len(row["counts"]) == len(row["ideal"]) == len(row["noisy_exact"]) == 32
        assert row["layout"] == [0, 1, 2, 3, 5]
        assert (row["device"], row["source"]) == ("ibm_algiers", "simulated")
        assert row["calibration_id"] == algiers.calibration.calibration_id
        assert row["circuit_stage"] == "executed"
        assert row["executed_at"] == algiers.calibration.time  # no wall clock


def test_noise_and_shots_move_every_distribution_away_from_ideal(rows):
    for row in rows:
        ideal, exact = np.array(row["ideal"]), np.array(row["noisy_exact"])
        noisy = np.array(row["counts"]) / row["shots"]
        assert 0.01 < np.abs(exact - ideal).sum() < 1
        assert 0 < np.abs(noisy - exact).sum() < 0.3


def test_shots_follow_from_the_stored_seed_of_each_circuit_alone(rows):
    """Drawn again from the row itself: whoever has the row can repeat its measurement."""
    for row in rows[::5]:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([row["seed"], 1])))
        draws = rng.integers(0, 2**24, row["shots"], dtype=np.uint32) / 2**24
        outcomes = np.searchsorted(np.cumsum(row["noisy_exact"]), draws, side="right")
        assert np.bincount(outcomes, minlength=32).tolist() == row["counts"]


def test_probabilities_are_on_their_grid_and_add_up_to_one(rows):
    for row in rows:
        for name in ("ideal", "noisy_exact"):
            steps = np.array(row[name]) * 2**24
            np.testing.assert_array_equal(steps, np.rint(steps))
            assert steps.sum() == 2**24


def test_seeds_are_the_circuits_own(rows, tiny_config):
    assert len({r["seed"] for r in rows}) == len(rows)
    expected = [circuit_seed(tiny_config.seed, k // 4, k % 4) for k in range(len(rows))]
    assert [r["seed"] for r in rows] == expected
    others = {circuit_seed(8, 0, 0), circuit_seed(7, 1, 0), circuit_seed(7, 0, 0, 1)}
    assert len(others | {circuit_seed(7, 0, 0)}) == 4


# Equal bytes


def test_two_workers_write_the_same_bytes_as_one(small, device_config, reference_hashes, tmp_path):
    done = generate(small, device_config, tmp_path / "small", workers=2)
    assert done.circuits_made == 24
    assert hashes(tmp_path / "small") == reference_hashes


def test_a_second_call_reuses_and_changes_nothing(tiny_config, device_config, tiny_copy):
    before = hashes(tiny_copy)
    seen = []
    done = generate(tiny_config, device_config, tiny_copy, progress=lambda *p: seen.append(p))
    assert done.circuits_made == 0
    assert seen == []  # no progress: nothing is made
    assert hashes(tiny_copy) == before


def test_another_seed_gives_other_circuits(small, device_config, reference_hashes, tmp_path):
    other = small.model_copy(update={"seed": 6})
    generate(other, device_config, tmp_path / "small")
    again = hashes(tmp_path / "small")
    assert again.keys() == reference_hashes.keys()
    shards = [name for name in again if name.startswith("circuits-")]
    assert len(shards) == 3
    assert all(again[name] != reference_hashes[name] for name in shards)


def test_progress_counts_up_to_all_circuits(small, device_config, tmp_path):
    seen = []
    generate(small, device_config, tmp_path / "small", progress=lambda *p: seen.append(p))
    assert seen[0] == (0, 24)
    assert seen[-1] == (24, 24)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


# Resumption


@pytest.mark.parametrize("call", [2, 6, 9, 13])
def test_an_interrupted_generation_is_finished_with_the_same_bytes(
    small, device_config, reference_hashes, tmp_path, call
):
    folder = tmp_path / "small"
    with pytest.raises(StoppedError):
        generate(small, device_config, folder, progress=interrupt_at(call))
    assert "manifest.json" not in hashes(folder)
    kept = sum(pq.read_metadata(p).num_rows for p in folder.glob("circuits-*.parquet"))
    done = generate(small, device_config, folder)
    assert done.circuits_made == 24 - kept
    assert hashes(folder) == reference_hashes


def missing_shard(folder: Path) -> None:
    (folder / "circuits-00001.parquet").unlink()


def truncated_shard(folder: Path) -> None:
    path = folder / "circuits-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def empty_shard(folder: Path) -> None:
    (folder / "circuits-00001.parquet").write_bytes(b"")


def shard_of_another_program(folder: Path) -> None:
    """A valid Parquet file without our mark."""
    path = folder / "circuits-00001.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path, store_schema=False)


def shard_of_another_recipe(folder: Path) -> None:
    path = folder / "circuits-00001.parquet"
    marked = {b"qmend.recipe_sha": b"0" * 16}
    pq.write_table(pq.read_table(path).replace_schema_metadata(marked), path)


def flipped_bits(folder: Path) -> None:
    """The footer is whole, the data are not."""
    path = folder / "circuits-00001.parquet"
    data = bytearray(path.read_bytes())
    data[20:400] = bytes(255 - b for b in data[20:400])
    path.write_bytes(bytes(data))


def shard_too_many(folder: Path) -> None:
    """Of an earlier, larger dataset."""
    path = folder / "circuits-00002.parquet"
    (folder / "circuits-00003.parquet").write_bytes(path.read_bytes())


def leftover_parts(folder: Path) -> None:
    (folder / ".circuits-00000.parquet.part").write_bytes(b"half a shard")
    (folder / ".manifest.json.part").write_bytes(b"{")


@pytest.mark.parametrize(
    "damage",
    [
        missing_shard,
        truncated_shard,
        empty_shard,
        shard_of_another_program,
        flipped_bits,
        shard_too_many,
        leftover_parts,
    ],
    ids=lambda f: f.__name__,
)
def test_what_a_crash_may_leave_is_repaired_with_the_same_bytes(
    tiny_config, device_config, tiny_folder, tiny_copy, damage
):
    (tiny_copy / "manifest.json").unlink()
    damage(tiny_copy)
    done = generate(tiny_config, device_config, tiny_copy)
    untouched = damage in (shard_too_many, leftover_parts)
    assert done.circuits_made == (0 if untouched else 32)
    assert hashes(tiny_copy) == hashes(tiny_folder)


def test_an_unfinished_dataset_of_another_config_is_refused(
    tiny_config, device_config, tiny_folder, tiny_copy
):
    (tiny_copy / "manifest.json").unlink()
    shard_of_another_recipe(tiny_copy)
    with pytest.raises(QmendError, match=r"circuits-00001\.parquet belongs to an unfinished"):
        generate(tiny_config, device_config, tiny_copy)
    generate(tiny_config, device_config, tiny_copy, replace=True)
    assert hashes(tiny_copy) == hashes(tiny_folder)


KILLED = """
import os, signal, sys
from pathlib import Path
from qmend.datasets.config import DatasetConfig
from qmend.generation.generate import generate
from qmend.devices.device import DeviceConfig

def progress(done, total):
    if done >= 14:
        os.kill(os.getpid(), signal.SIGKILL)

generate(
    DatasetConfig.model_validate_json(sys.argv[1]),
    DeviceConfig.model_validate_json(sys.argv[2]),
    Path(sys.argv[3]),
    progress=progress,
)
"""


def test_a_killed_process_leaves_what_the_next_one_finishes(
    small, device_config, reference_hashes, tmp_path
):
    """SIGKILL between two shards: whole shards are kept, and no lock stays behind."""
    folder = tmp_path / "small"
    family = {"family": small.family.model_dump()}
    config = json.dumps(small.model_dump(mode="json") | family)
    arguments = [sys.executable, "-c", KILLED, config, device_config.model_dump_json(), str(folder)]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    done = generate(small, device_config, folder)
    assert done.circuits_made == 16
    assert hashes(folder) == reference_hashes


# Duplicates


class FewCircuits(Family):
    """X on a random subset of the first ``bits`` qubits: 2^bits different circuits."""

    kind: ClassVar[str] = "few"
    name: str = "few"
    n_qubits: int = 5
    bits: int

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        chosen = int(rng.integers(2**self.bits))
        circuit = QuantumCircuit(self.n_qubits)
        for q in range(self.bits):
            if (chosen >> q) & 1:
                circuit.x(q)
        return SourceCircuit(circuit=circuit, params={"chosen": chosen})


def few(bits: int) -> DatasetConfig:
    """12 circuits in 3 shards."""
    return DatasetConfig(
        name="few",
        family=FewCircuits(bits=bits),
        circuits=12,
        job_size=2,
        jobs_per_shard=2,
        shots=100,
        seed=1,
    )


def test_duplicates_are_drawn_again(device_config, tmp_path):
    config = few(bits=4)
    first = [
        config.family.draw(np.random.default_rng(circuit_seed(1, k // 2, k % 2))).params["chosen"]
        for k in range(12)
    ]
    assert len(set(first)) < 12  # the first drawing does repeat circuits
    done = generate(config, device_config, tmp_path / "few")
    rows = stored_rows(tmp_path / "few")
    assert len({r["circuit_id"] for r in rows}) == 12
    assert len({json.loads(r["family_params"])["chosen"] for r in rows}) == 12
    assert done.circuits_made > 12
    seen: set[int] = set()
    for row, chosen in zip(rows, first, strict=True):
        if chosen not in seen:  # whoever came first keeps what it drew
            assert json.loads(row["family_params"])["chosen"] == chosen
        seen.add(json.loads(row["family_params"])["chosen"])


def test_jobs_without_a_duplicate_stay_as_stored(device_config, tmp_path, monkeypatch):
    """The bytes are those of whole shards made again, the circuits made far fewer."""
    config = few(bits=4).model_copy(update={"jobs_per_shard": 3})
    ours = generate(config, device_config, tmp_path / "few")
    redraw = generate_module._redraw_duplicates

    def whole_shards(*args) -> set[int]:
        shards = {job // 3 for job in redraw(*args)}
        return {job for job in range(6) if job // 3 in shards}

    monkeypatch.setattr(generate_module, "_redraw_duplicates", whole_shards)
    whole = generate(config, device_config, tmp_path / "whole" / "few")
    assert 12 < ours.circuits_made < whole.circuits_made
    assert hashes(tmp_path / "few") == hashes(tmp_path / "whole" / "few")


def test_duplicates_are_drawn_again_after_an_interruption(device_config, tmp_path):
    """Stopped after the first pass, when all shards exist and none is redrawn yet."""
    config = few(bits=4)
    generate(config, device_config, tmp_path / "whole" / "few")
    folder = tmp_path / "few"
    with pytest.raises(StoppedError):
        # One call at the start, one for each of 6 jobs, then the first redrawn job.
        generate(config, device_config, folder, progress=interrupt_at(8))
    assert len(list(folder.glob("circuits-*.parquet"))) == 3
    generate(config, device_config, folder)
    assert len({r["circuit_id"] for r in stored_rows(folder)}) == 12
    assert hashes(folder) == hashes(tmp_path / "whole" / "few")


def test_a_family_too_small_is_refused_every_time(tmp_path):
    """Also when called again on what the first attempt left."""
    device = DeviceConfig(name="pair", backend="FakeAlgiers", layout=(0, 1))
    config = few(bits=4).model_copy(
        update={
            "family": FewCircuits(bits=1, n_qubits=2),
            "circuits": 3,
            "job_size": 1,
            "jobs_per_shard": 1,
        }
    )
    for _ in range(2):
        with pytest.raises(QmendError, match=r"'few' has too few different circuits .*=3; ask"):
            generate(config, device, tmp_path / "few")
    assert not (tmp_path / "few" / "manifest.json").exists()


# Refusals


@pytest.mark.parametrize(
    ("change", "device_change", "message"),
    [
        ({"shots": 600}, {}, "dataset.shots is 2000 there and 600 here"),
        ({"seed": 8}, {}, "dataset.seed is 7 there and 8 here"),
        ({}, {"layout": (5, 3, 2, 1, 0)}, r"device.layout is \[0, 1, 2, 3, 5\] there and"),
        ({}, {"backend": "FakeHanoiV2"}, "device.backend is FakeAlgiers there and FakeHanoiV2"),
        ({"split": SplitConfig(train=0.5, val=0.2, test=0.3)}, {}, r"dataset\.split\.test is 0.2"),
    ],
)
def test_a_folder_of_another_config_is_refused_by_key(
    tiny_config, device_config, tiny_copy, change, device_change, message
):
    before = hashes(tiny_copy)
    with pytest.raises(QmendError, match=message):
        generate(
            tiny_config.model_copy(update=change),
            device_config.model_copy(update=device_change),
            tiny_copy,
        )
    assert hashes(tiny_copy) == before


def test_a_family_field_counts_as_config(tiny_config, device_config, tiny_copy):
    family = tiny_config.family.model_copy(update={"gadgets_max": 7})
    with pytest.raises(QmendError, match=r"dataset\.family\.gadgets_max is 6 there and 7 here"):
        generate(tiny_config.model_copy(update={"family": family}), device_config, tiny_copy)


def test_a_complete_folder_with_a_damaged_shard_is_refused(tiny_config, device_config, tiny_copy):
    flipped_bits(tiny_copy)
    with pytest.raises(QmendError, match=r"circuits-00001\.parquet does not match its hash"):
        generate(tiny_config, device_config, tiny_copy)


@pytest.mark.parametrize("damage", [flipped_bits, missing_shard], ids=lambda f: f.__name__)
def test_replacing_makes_just_the_damaged_shard_again(
    tiny_config, device_config, tiny_folder, tiny_copy, damage
):
    damage(tiny_copy)
    done = generate(tiny_config, device_config, tiny_copy, replace=True)
    assert done.circuits_made == 32
    assert hashes(tiny_copy) == hashes(tiny_folder)


def test_replacing_overwrites_a_dataset_of_another_config(
    small, device_config, reference_hashes, tiny_copy
):
    assert generate(small, device_config, tiny_copy, replace=True).circuits_made == 24
    assert hashes(tiny_copy) == reference_hashes


def test_replacing_leaves_a_whole_dataset_alone(tiny_config, device_config, tiny_copy):
    before = hashes(tiny_copy)
    assert generate(tiny_config, device_config, tiny_copy, replace=True).circuits_made == 0
    assert hashes(tiny_copy) == before


def test_family_and_layout_must_have_the_same_size(tiny_config, tmp_path):
    device = DeviceConfig(name="x", backend="FakeAlgiers", layout=(0, 1, 2))
    with pytest.raises(QmendError, match=r"n_qubits is 5, but device.layout \[0, 1, 2\] has 3"):
        generate(tiny_config, device, tmp_path / "x")


def test_a_layout_with_a_faulty_gate_is_refused_but_its_data_are_kept(small, tmp_path, monkeypatch):
    """CX between 15 and 18 of FakeAlgiers has an error of 1."""
    device = DeviceConfig(name="x", backend="FakeAlgiers", layout=(12, 15, 18, 21, 23))
    folder = tmp_path / "small"
    message = r"cx on \[15, 18\].* is device\.layout=\[[\d,]+\]\."
    with pytest.raises(QmendError, match=message):
        generate(small, device, folder)
    assert not folder.exists()
    with monkeypatch.context() as before:
        before.setattr("qmend.generation.generate.check_usable", lambda device: None)
        assert generate(small, device, folder).circuits_made == 24
    assert generate(small, device, folder).circuits_made == 0
    with pytest.raises(QmendError, match=message):
        generate(small, device, folder, replace=True)


def test_one_writer_at_a_time(small, device_config, tmp_path):
    with (tmp_path / ".small.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(QmendError, match=r"Another process is writing .*small; wait"):
            generate(small, device_config, tmp_path / "small")


def test_a_root_that_cannot_be_written_is_refused(small, device_config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(QmendError, match=r"Can't write to .*; choose another data\.root"):
        generate(small, device_config, tmp_path / "file" / "small")


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "shard"
    path.write_text("old")

    def full(part: Path) -> None:
        part.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(QmendError, match=r"Could not write .*shard \(No space left on device\)"):
        write_atomically(path, full)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["shard"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"circuits": 25, "job_size": 10},
            r"circuits \(25\) must be a multiple of job_size \(10\)",
        ),
        ({"circuits": 20, "job_size": 10}, "gives 2 jobs, but the three splits need at least 3"),
        ({"name": "../up"}, "name"),
        ({"shots": 0}, "shots"),
        ({"split": {"train": 0.5, "val": 0.1, "test": 0.2}}, "must be 1, not 0.8"),
        ({"shot": 5}, "Extra inputs"),
    ],
)
def test_impossible_configs_are_refused(fields, message):
    base = {"name": "x", "family": {"name": "pauli"}, "circuits": 30, "job_size": 10}
    with pytest.raises(ValidationError, match=message):
        DatasetConfig(**{**base, **fields})
