"""Collection: the simulated circuits really run, paid for once, whatever goes wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import qiskit_ibm_runtime.qiskit_runtime_service as service_module
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler
from scipy import stats

from qmend.circuits.families import Family, SourceCircuit
from qmend.circuits.statevector import to_bit_order
from qmend.datasets.config import CollectionConfig, DatasetConfig, SplitConfig
from qmend.datasets.ledger import LEDGER, Ledger
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.generation.generate import generate
from qmend.generation.verify import verify_dataset
from qmend.hardware import opening
from qmend.hardware.collector import collect
from qmend.hardware.plan import plan
from qmend.hardware.runtime import LocalService, RuntimeService
from qmend.mitigation.baselines import DepolarizingInversion
from qmend.noise.aer import AerExecutor
from qmend.noise.readout import apply_readout, readout_matrices
from qmend.types import QmendError
from reference import hashes, stored_rows
from runtime_api import BACKEND, ENVIRONMENT, START, TOKEN, Api, DiskClient, collect_here

RUNTIME = CollectionConfig(poll_seconds=0, max_retries=1)
LOCAL = CollectionConfig(execution="local", poll_seconds=0.02, max_retries=1)
LIVE = DeviceConfig(name="live", provider="runtime", backend=BACKEND, layout=(0, 1, 2, 3, 5))


def small(**changes: Any) -> DatasetConfig:
    """4 jobs of 2 circuits."""
    fields: dict[str, Any] = {
        "name": "small",
        "family": {"name": "pauli", "gadgets_min": 1, "gadgets_max": 3},
        "circuits": 8,
        "job_size": 2,
        "shots": 400,
        "seed": 5,
    }
    return DatasetConfig(**{**fields, **changes})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An account on a server of its own."""
    for key, value in {**ENVIRONMENT, "QMEND_TEST_API": str(tmp_path / "api")}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(service_module, "RuntimeClient", DiskClient)
    return Api(tmp_path / "api")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collected" / "small"


def run(folder: Path, dataset: DatasetConfig | None = None, **changes: Any) -> Any:
    return collect(dataset or small(), LIVE, folder, RUNTIME.model_copy(update=changes))


def events(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    lines = (folder / LEDGER).read_text().splitlines()
    return [e for e in map(json.loads, lines) if not kinds or e["event"] in kinds]


def paid(api: Api) -> Counter[str]:
    """Tag -> how often a job was accepted with it."""
    return Counter(tag for job in api.jobs() for tag in job["tags"])


def assert_complete_and_paid_once(folder: Path, api: Api, jobs: int = 4) -> Dataset:
    assert list(paid(api).values()) == [1] * jobs
    data = load_dataset(folder)
    assert sorted(set(data.rows.job_id)) == [job["id"] for job in api.jobs()]
    assert len(data.rows) == len(set(data.rows.circuit_id)) == 2 * jobs
    # Without noise and readout error, the counts of the right circuits fit their labels.
    noisy, ideal = data.rows.circuits.noisy, data.rows.ideal
    assert np.abs(noisy - ideal).sum(axis=1).max() < 0.5
    assert not list(folder.glob(".*"))
    verify_dataset(folder)
    return data


# What is collected


@pytest.fixture(scope="module")
def local_folder(device_config: DeviceConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real local mode, noise on; read only."""
    folder = tmp_path_factory.mktemp("local") / "small"
    collect(small(shots=4000), device_config, folder, LOCAL)
    return folder


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    """p-value of all rows together, rare outcomes of a row as one."""
    statistic, freedom = 0.0, 0
    for seen, mean in zip(counts, expected, strict=True):
        common = mean >= 10
        cells = [(seen[common], mean[common]), (seen[~common].sum(), mean[~common].sum())]
        statistic += sum(float(((s - m) ** 2 / m).sum()) for s, m in cells if np.all(m > 0))
        freedom += int(common.sum())
    return float(stats.chi2.sf(statistic, freedom))


def test_local_counts_follow_the_noise_model_read_out_bit_by_bit(local_folder, algiers):
    """Against Aer's exact density matrices and readout; neither the ideal nor chain order fits."""
    data = load_dataset(local_folder)
    rows = data.rows
    counts = np.array([r["counts"] for r in stored_rows(local_folder)])  # source's bit order
    exact = AerExecutor(algiers.calibration, algiers.layout).probabilities(
        rows.circuits.instructions
    )
    chain = apply_readout(exact, readout_matrices(algiers.calibration, algiers.layout))
    assert chi_square(counts, to_bit_order(chain, rows.circuits.measured) * 4000) > 1e-4
    assert chi_square(counts, to_bit_order(rows.ideal, rows.circuits.measured) * 4000 + 1e-9) < 1e-9
    assert (rows.circuits.measured != np.arange(5)).any(
        axis=1
    ).sum() >= 3  # routing permutes qubits
    assert chi_square(counts, chain * 4000) < 1e-9


def test_a_collected_dataset_is_one_like_any_other(local_folder, device_config, tmp_path):
    data = load_dataset(local_folder)
    assert data.rows.noisy_exact is None
    assert data.source == "simulated"  # local mode is no hardware, and does not claim to be
    assert verify_dataset(local_folder).rows == 8
    mitigator = DepolarizingInversion().fit(data.part("train"))
    mitigated = mitigator.mitigate(data.part("test").circuits)
    before = np.abs(data.part("test").circuits.noisy - data.part("test").ideal).sum()
    assert np.abs(mitigated - data.part("test").ideal).sum() < before
    config = small(shots=4000)
    reused = generate(config, device_config, local_folder)  # as `qmend evaluate` does
    assert reused.circuits_made == 0


def test_local_counts_are_the_sum_over_all_randomizations(device_config, tmp_path):
    """As simulated, by Aer's model of the same snapshot; the circuits as compiled give others."""
    config = small(shots=16_000, twirling={"randomizations": 4}, circuits=3, job_size=1)
    collect(config, device_config, tmp_path / "local", LOCAL)
    simulated = {
        kind: stored_rows(generate(c, device_config, tmp_path / kind).folder)
        for kind, c in (
            ("twirled", config),
            ("as compiled", small(shots=16_000, circuits=3, job_size=1)),
        )
    }
    rows = stored_rows(tmp_path / "local")
    assert [r["gates"] for r in rows] == [r["gates"] for r in simulated["as compiled"]]
    counts = np.array([r["counts"] for r in rows])
    assert counts.sum(axis=1).tolist() == [16_000] * 3
    expected = {k: np.array([r["noisy_exact"] for r in v]) for k, v in simulated.items()}
    assert chi_square(counts, expected["twirled"] * 16_000) > 1e-4
    assert chi_square(counts, expected["as compiled"] * 16_000) < 1e-9


def test_rows_are_the_simulated_datasets_but_for_what_hardware_decides(
    api, folder, device_config, tmp_path
):
    run(folder)
    generate(small(simulator="aer"), device_config, tmp_path / "simulated")
    ours, theirs = stored_rows(folder), stored_rows(tmp_path / "simulated")
    differing = {k for a, b in zip(ours, theirs, strict=True) for k in a if a[k] != b[k]}
    assert differing == {
        "counts", "noisy_exact", "source", "job_id", "executed_at", "calibration_id"
    }  # fmt: skip
    for index, row in enumerate(ours):
        job = index // 2
        assert (row["source"], row["job_id"]) == ("hardware", f"job-{job:03d}")
        assert row["noisy_exact"] is None
        assert row["executed_at"] == START + timedelta(hours=job)
        assert sum(row["counts"]) == row["shots"] == 400
    assert_complete_and_paid_once(folder, api)


def test_each_job_has_the_calibration_that_it_ran_under(api, folder):
    """The server calibrates every two hours, and jobs run one an hour."""
    run(folder)
    data = load_dataset(folder)
    by_job = {
        job: data.rows.circuits.calibrations[k]
        for job, k in zip(data.rows.job_id, data.rows.circuits.calibration_index, strict=True)
    }
    assert [by_job[f"job-{k:03d}"].qubit(0).t1_us for k in range(4)] == [100, 100, 101, 101]
    assert by_job["job-002"].time == START + timedelta(hours=2)
    assert {q.qubit for q in by_job["job-000"].qubits} == {0, 1, 2, 3, 5}


def test_split_by_time_uses_the_times_of_execution(api, folder):
    config = small(split=SplitConfig(by="time", train=0.5, val=0.25, test=0.25))
    run(folder, config)
    splits = [r["split"] for r in stored_rows(folder)]
    assert splits == ["train"] * 4 + ["val"] * 2 + ["test"] * 2


class SomeCircuits(Family):
    """X on a random subset of four qubits: 16 different circuits."""

    kind: ClassVar[str] = "some"
    name: str = "some"
    n_qubits: int = 5

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        chosen = int(rng.integers(16))
        circuit = QuantumCircuit(self.n_qubits)
        for q in range(4):
            if (chosen >> q) & 1:
                circuit.x(q)
        return SourceCircuit(circuit=circuit, params={"chosen": chosen})


def test_duplicates_are_redrawn_before_they_are_paid_for(api, folder, device_config, tmp_path):
    config = small(family=SomeCircuits(), circuits=12, shots=50)
    run(folder, config)
    assert len({r["circuit_id"] for r in stored_rows(folder)}) == 12
    assert any(e["attempts"] for e in events(folder, "planned"))  # there were duplicates
    simulated = config.model_copy(update={"simulator": "aer"})
    generate(simulated, device_config, tmp_path / "simulated")
    drawn = [[r["seed"] for r in stored_rows(f)] for f in (folder, tmp_path / "simulated")]
    assert drawn[0] == drawn[1]
    # X on one qubit is read as that bit: no noise here, so that every shot shows the subset.
    for row in stored_rows(folder):
        assert row["counts"][json.loads(row["family_params"])["chosen"]] == 50


def test_a_family_too_small_costs_nothing(api, folder):
    with pytest.raises(QmendError, match=r"'some' has too few different circuits"):
        run(folder, small(family=SomeCircuits(), circuits=51, job_size=17))
    assert api.jobs() == []


# Killed at any moment

KILLS = (
    "after a job is accepted, before the ledger",
    "before a job is accepted, the one before in the ledger",
    "while it waits",
    "before a shard is in place",
    "after a shard is in place, before the ledger",
    "before the manifest is in place",
)


@pytest.fixture(scope="module")
def fresh_process() -> Any:
    """Starts processes that have imported everything and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["qmend.hardware.collector"])
    return context.Process


@pytest.mark.parametrize("place", KILLS)
def test_killed_and_started_again_every_job_is_there_once(api, folder, fresh_process, place):
    api.fault(kill=place)
    config = RUNTIME.model_copy(update={"max_pending": 2})
    process = fresh_process(target=collect_here, args=(api.root, small(), LIVE, folder, config))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == -9
    assert not (folder / "manifest.json").exists()
    before = len(api.jobs())
    api.fault(kill=None)
    done = run(folder)
    assert_complete_and_paid_once(folder, api)
    assert before >= 1
    assert len(events(folder, "submitted")) == 4
    assert done.left_out == 0
    assert run(folder).submitted == 0  # and nothing is left to do


def test_a_torn_last_line_is_dropped(api, folder):
    run(folder)
    whole = (folder / LEDGER).read_bytes()
    (folder / "manifest.json").unlink()
    lines = whole.splitlines(keepends=True)
    at = next(k for k, line in enumerate(lines) if b'"submitted"' in line and b"job-003" in line)
    (folder / LEDGER).write_bytes(b"".join(lines[:at]) + lines[at][:40])
    for name in ("circuits-00002.parquet", "circuits-00003.parquet"):
        (folder / name).unlink()
    run(folder)
    assert_complete_and_paid_once(folder, api)
    assert [e["id"] for e in events(folder, "submitted")] == [f"job-{k:03d}" for k in range(4)]


def test_a_ledger_damaged_in_the_middle_is_refused(api, folder):
    run(folder)
    text = (folder / LEDGER).read_bytes().splitlines(keepends=True)
    (folder / LEDGER).write_bytes(b"".join([text[0], b"{broken\n", *text[2:]]))
    with pytest.raises(QmendError, match=r"Line 2 of .*ledger\.jsonl is damaged"):
        run(folder)


def test_a_lost_ledger_is_no_lost_money(api, folder, tmp_path):
    """The tag finds the jobs, for the same recipe, in another folder."""
    run(folder)
    other = tmp_path / "elsewhere"
    pinned = Ledger(folder).opening["recipe"]["device"]
    collect(small(), DeviceConfig.model_validate(pinned), other, RUNTIME)
    assert len(api.jobs()) == 4


@pytest.mark.parametrize("damage", [Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:-9])])
def test_a_damaged_shard_is_fetched_again_not_run_again(api, folder, damage):
    run(folder)
    before = hashes(folder)
    (folder / "manifest.json").unlink()
    damage(folder / "circuits-00001.parquet")
    run(folder)
    assert_complete_and_paid_once(folder, api)
    after = hashes(folder)
    assert {k: v for k, v in after.items() if k != LEDGER} == {
        k: v for k, v in before.items() if k != LEDGER
    }


def test_a_local_job_that_died_with_its_process_is_run_again(device_config, folder):
    collect(small(circuits=3, job_size=1), device_config, folder, LOCAL)
    (folder / "manifest.json").unlink()
    (folder / "circuits-00002.parquet").unlink()
    collect(small(circuits=3, job_size=1), device_config, folder, LOCAL)
    assert [e["job"] for e in events(folder, "lost")] == [2]
    assert len(events(folder, "submitted")) == 4
    assert len(load_dataset(folder).rows) == 3


# Faults of the service


def test_a_job_that_fails_once_is_submitted_again(api, folder):
    api.fault(jobs={"1": {"state": "Failed"}})
    run(folder)
    assert sorted(paid(api).values()) == [1, 1, 1, 2]
    (failed,) = events(folder, "failed")
    assert (failed["job"], failed["id"]) == (1, "job-001")
    assert "calibration in progress" in failed["reason"]
    assert "job-001" not in load_dataset(folder).rows.job_id
    assert len(load_dataset(folder).rows) == 8


def test_a_job_that_always_fails_leaves_the_others(api, folder):
    api.fault(jobs={"1": {"state": "Failed"}, "4": {"state": "Failed"}})
    with pytest.raises(QmendError) as error:
        run(folder)
    text = str(error.value)
    assert "1 of 4 jobs could not be collected" in text
    assert "job 1 job-004 failed (Error code 1234; calibration in progress)" in text
    assert "raise collect.max_retries" in text
    assert len(list(folder.glob("circuits-*.parquet"))) == 3
    with pytest.raises(QmendError, match="1 of 4 jobs"):
        run(folder)
    assert len(api.jobs()) == 5  # a second call does not pay again unless told to
    run(folder, max_retries=2)
    assert len(load_dataset(folder).rows) == 8
    assert len(events(folder, "failed")) == 2  # they stay on record


def test_a_cancelled_job_waits_for_the_next_call(api, folder):
    api.fault(jobs={"2": {"state": "Cancelled"}})
    with pytest.raises(QmendError, match=r"job 2 job-002 was cancelled .*run the same command"):
        run(folder)
    assert len(api.jobs()) == 4
    run(folder)
    assert len(load_dataset(folder).rows) == 8
    assert [e["id"] for e in events(folder, "cancelled")] == ["job-002"]


def test_requests_that_get_lost_are_repeated_and_answers_that_get_lost_found(api, folder):
    api.fault(unreachable=[1], unanswered=[3])
    run(folder)
    assert_complete_and_paid_once(folder, api)


def test_a_service_that_stays_away_is_one_sentence_without_the_token(api, folder, capfd):
    api.fault(unreachable=list(range(100)))
    with pytest.raises(
        QmendError, match=r"IBM Quantum does not answer \(.*connection lost"
    ) as error:
        run(folder)
    api.fault(unreachable=[])
    run(folder)
    written = "".join(p.read_bytes().decode("latin1") for p in folder.iterdir())
    assert "***" in str(error.value)
    assert TOKEN not in str(error.value) + written + "".join(capfd.readouterr())
    assert_complete_and_paid_once(folder, api)


def test_a_refused_job_waits_for_those_before_it(api, folder):
    """As where an account may have so many jobs pending."""
    api.fault(refused=[3])
    run(folder)
    assert_complete_and_paid_once(folder, api)
    api.fault(refused=list(range(100)))
    with pytest.raises(QmendError, match=r"IBM Quantum refused the request \(.*too many jobs"):
        run(folder.with_name("other"), small(seed=6))
    assert len(api.jobs()) == 4


def test_finishing_leaves_out_what_still_waits(api, folder):
    api.fault(jobs={"3": {"looks": -1000}})

    def impatient(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(small(), LIVE, folder, RUNTIME, impatient)
    done = run(folder, finish=True)
    assert (done.left_out, done.manifest.rows, done.submitted) == (1, 6, 0)
    assert len(api.jobs()) == 4


@pytest.mark.parametrize("mode", ["session", "batch"])
def test_a_session_that_expires_is_followed_by_another(api, folder, mode):
    """The third submission finds it closed, which also cancelled the second job."""
    api.fault(expire=[3], jobs={"1": {"state": "Cancelled"}})
    run(folder, mode=mode)
    assert sorted(paid(api).values()) == [1, 1, 1, 2]
    assert len(load_dataset(folder).rows) == 8
    sessions = [json.loads(p.read_text()) for p in sorted(api.root.glob("session-*.json"))]
    assert [s["mode"] for s in sessions] == [{"session": "dedicated"}.get(mode, mode)] * 2
    assert not any(s["open"] for s in sessions)  # the second was closed at the end


@pytest.mark.parametrize("shape", ["circuits", "shots", "bits"])
def test_a_result_of_another_shape_is_refused_and_not_paid_for_again(api, folder, shape):
    api.fault(jobs={"1": {"shape": shape}})
    found = {
        "circuits": "can't be read: .*",
        "shots": "399 shots, not 400",
        "bits": "4 bits, not 5",
    }
    for _ in range(2):
        with pytest.raises(QmendError, match=f"job 1 job-001 failed .*{found[shape]}"):
            run(folder)
    assert len(api.jobs()) == 4
    assert [e["retry"] for e in events(folder, "failed")] == [False]
    done = run(folder, finish=True)
    assert done.left_out == 1
    data = load_dataset(folder)
    assert sorted(set(data.rows.job_id)) == ["job-000", "job-002", "job-003"]
    assert sorted(set(data.split)) == ["test", "train", "val"]
    assert data.manifest.recipe["collection"]["left_out"] == [1]
    assert data.manifest.recipe["dataset"]["circuits"] == 6


def test_a_dataset_finished_in_part_is_opened_again_only_when_told(api, folder):
    api.fault(jobs={"2": {"state": "Cancelled"}})
    with pytest.raises(QmendError):
        run(folder)
    run(folder, finish=True)
    assert run(folder, finish=True).left_out == 1
    with pytest.raises(QmendError, match=r"without 1 of its 4 jobs; .*data\.replace=true"):
        run(folder)
    done = collect(small(), LIVE, folder, RUNTIME, replace=True)
    assert (done.submitted, done.left_out, done.manifest.rows) == (1, 0, 8)
    with pytest.raises(QmendError, match=r"has 0 collected jobs, .* at least 3"):
        run(folder.with_name("new"), small(seed=6), finish=True)


# Faults at the sampler, in local mode


def faulty(*faults: Callable[[Sampler, Any], None]) -> Callable[..., Sampler]:
    """The real sampler with a fault for each of its first calls."""
    left = list(faults)

    class Faulty(Sampler):
        def run(self, pubs: Any, **more: Any) -> Any:
            pubs = list(pubs)
            if left:
                left.pop(0)(self, pubs)
            return super().run(pubs, **more)

    return Faulty


def nothing(sampler: Sampler, pubs: list[QuantumCircuit]) -> None:
    pass


def close_session(sampler: Sampler, pubs: list[QuantumCircuit]) -> None:
    raise IBMRuntimeError("The session is closed.")


def drop_circuit(sampler: Sampler, pubs: list[QuantumCircuit]) -> None:
    del pubs[-1]


def local(device: DeviceConfig, folder: Path, sampler: Any, **changes: Any) -> Any:
    config = LOCAL.model_copy(update=changes)
    layout = device.layout
    return collect(
        small(circuits=3, job_size=1, shots=100),
        device,
        folder,
        config,
        service=lambda d, c: LocalService("FakeAlgiers", layout, c.mode, sampler),
    )


def test_a_closed_session_at_the_real_sampler(device_config, folder):
    done = local(device_config, folder, faulty(nothing, close_session), mode="session")
    assert (done.submitted, done.manifest.rows) == (3, 3)


def test_a_result_with_a_circuit_too_few_at_the_real_sampler(device_config, folder):
    config = small(circuits=6, job_size=2, shots=100)
    sampler = faulty(nothing, drop_circuit)
    with pytest.raises(QmendError, match=r"job 1 .* failed \(the result holds 1 circuits, not 2"):
        collect(
            config,
            device_config,
            folder,
            LOCAL,
            service=lambda d, c: LocalService("FakeAlgiers", d.layout, c.mode, sampler),
        )


# Refusals, and what is only asked


def test_collected_data_are_never_overwritten_by_generation(api, folder, device_config):
    run(folder)
    before = hashes(folder)
    with pytest.raises(QmendError, match="never overwritten"):
        generate(small(), device_config, folder, replace=True)
    with pytest.raises(QmendError, match=r"dataset\.shots is 400 there and 500 here"):
        run(folder, small(shots=500))
    (folder / "manifest.json").unlink()
    with pytest.raises(QmendError, match="unfinished collection"):
        generate(small(), LIVE, folder, replace=True)
    before.pop("manifest.json")
    assert hashes(folder) == before


def test_a_folder_with_other_data_is_refused(api, folder, device_config):
    generate(small(simulator="aer"), device_config, folder)
    with pytest.raises(QmendError, match="holds other data"):
        run(folder)
    assert api.jobs() == []


def test_a_collection_begins_on_working_gates_alone(folder, monkeypatch):
    """CX between 15 and 18 of FakeAlgiers has an error of 1. One that was begun is resumed."""
    device = DeviceConfig(name="x", backend="FakeAlgiers", layout=(12, 15, 18, 21, 23))
    for begin in (plan, collect):
        with pytest.raises(QmendError, match=r"faulty gates .* cx on \[15, 18\]"):
            begin(small(), device, folder, LOCAL)
    assert not folder.exists() or not list(folder.glob("*"))
    folder.mkdir(parents=True, exist_ok=True)
    with monkeypatch.context() as before:
        before.setattr(opening, "check_usable", lambda device: None)
        opening.open_collection(small(), device, folder, LOCAL)
    assert plan(small(), device, folder, LOCAL).jobs == 4
    again = opening.open_collection(small(), device, folder, LOCAL)
    assert again.device.layout == device.layout


def test_execution_and_provider_must_fit(device_config, folder, api):
    with pytest.raises(QmendError, match=r"collect\.execution=runtime needs .*provider=runtime"):
        collect(small(), device_config, folder, RUNTIME)
    with pytest.raises(QmendError, match=r"collect\.execution=local needs .*provider=fake"):
        collect(small(), LIVE, folder, LOCAL)
    with pytest.raises(QmendError, match="more than the 300 circuits"):
        run(folder, small(circuits=1203, job_size=401))
    with pytest.raises(QmendError, match="make the two equal"):
        collect(small(), LIVE.model_copy(update={"layout": (0, 1)}), folder, RUNTIME)
    assert not folder.exists()


def test_a_plan_submits_and_writes_nothing(api, folder):
    found = plan(small(), LIVE, folder, RUNTIME)
    assert (found.jobs, found.circuits, found.shots, found.there) == (4, 8, 400, 0)
    assert 0 < found.depth[0] <= found.depth[1]
    # 8 circuits of 400 shots: 250 us between two, a few us of gates and readout, 2 s a job.
    assert 8 + 8 * 400 * 250e-6 < found.seconds < 8 + 8 * 400 * 290e-6
    assert api.jobs() == []
    assert not folder.exists()
    api.fault(jobs={"2": {"state": "Cancelled"}})
    with pytest.raises(QmendError):
        run(folder)
    again = plan(small(), LIVE, folder, RUNTIME)
    assert (again.jobs, again.there) == (1, 3)
    assert again.seconds == pytest.approx(found.seconds / 4)


RANDOMIZED = {"twirling": {"randomizations": 4}}


def test_randomizations_are_circuits_of_the_job_with_their_share_of_the_shots(api, folder):
    """A collection without them is another one; one that stopped is resumed, nothing paid twice."""
    found = plan(small(**RANDOMIZED), LIVE, folder, RUNTIME)
    assert (found.jobs, found.circuits, found.shots) == (4, 32, 100)
    api.fault(jobs={"2": {"state": "Cancelled"}})
    with pytest.raises(QmendError, match="was cancelled"):
        run(folder, small(**RANDOMIZED))
    with pytest.raises(QmendError, match=r"another config \(dataset\.twirling\.randomizations"):
        run(folder)
    run(folder, small(**RANDOMIZED))
    programs = [job["params"]["quantum_program"] for job in api.jobs()]
    assert [(p["shots"], len(p["items"])) for p in programs] == [(100, 8)] * 5
    rows = stored_rows(folder)
    assert [r["shots"] for r in rows] == [400] * 8
    noisy = np.array([r["counts"] for r in rows]) / 400
    ideal = np.array([r["ideal"] for r in rows])
    assert np.abs(noisy - ideal).sum(axis=1).max() < 0.5  # this server adds no noise
    verify_dataset(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shots": 402}, r"no multiple of .*randomizations=4.* choose dataset\.shots=400\."),
        ({"circuits": 228, "job_size": 76}, "in 4 randomizations each is more than the 300"),
    ],
)
def test_randomizations_that_fit_no_job_are_refused(folder, changes, message):
    with pytest.raises(QmendError, match=message):
        run(folder, small(**RANDOMIZED, **changes))
    assert not folder.exists()


def test_shots_and_tags_reach_the_service(api, folder):
    run(folder)
    for job in api.jobs():
        assert job["params"]["quantum_program"]["shots"] == 400
    tags = [tag for job in api.jobs() for tag in job["tags"]]
    assert tags == [e["tag"] for e in events(folder, "submitted")]
    assert all(tag.startswith("qmend-") and f"-{k:05d}-" in tag for k, tag in enumerate(tags))
    assert RuntimeService(BACKEND).job("no-such-job") is None
    assert pq.read_schema(folder / "circuits-00000.parquet").metadata[b"qmend.job_id"] == b"job-000"
    assert os.environ["QISKIT_IBM_TOKEN"] not in (folder / LEDGER).read_text()


# References


@pytest.fixture(scope="module")
def with_references(
    device_config: DeviceConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DatasetConfig, Path]:
    """Three references in each job, noise on; read only."""
    folder = tmp_path_factory.mktemp("told") / "small"
    dataset = small(shots=4000, split=SplitConfig(by="job", train=0.5, val=0.25, test=0.25))
    collect(dataset, device_config, folder, LOCAL.model_copy(update={"references": 3}))
    return dataset, folder


def test_references_run_in_each_job_and_are_in_no_split(with_references, local_folder):
    _, folder = with_references
    data = load_dataset(folder)
    assert data.manifest.rows == 4 * (2 + 3)
    assert data.family == "pauli"
    assert set(data.split.tolist()) == {"train", "val", "test"}
    assert data.rows.circuit_id.tolist() == load_dataset(local_folder).rows.circuit_id.tolist()
    (told,) = data.references
    assert Counter(told.job_id.tolist()) == dict.fromkeys(data.rows.job_id.tolist(), 3)
    assert len(set(told.circuit_id.tolist())) == 12
    # Their counts are of their circuits: near their ideals, and far from those of the others.
    noisy, ideal = told.circuits.noisy, told.ideal
    assert np.abs(noisy - ideal).sum(axis=1).max() < 0.8
    assert np.abs(noisy - np.roll(ideal, 1, axis=0)).sum(axis=1).mean() > 1
    assert verify_dataset(folder).rows == 20


def test_references_are_variants_of_their_jobs_circuits(with_references):
    _, folder = with_references
    data = load_dataset(folder)
    (told,), rows = data.references, data.rows
    names = {c: k for k, c in enumerate(rows.circuit_id.tolist())}
    stored = [row for row in stored_rows(folder) if row["family"] == "reference"]
    targets = [names[json.loads(row["family_params"])["circuit"]] for row in stored]
    assert {row["split"] for row in stored} == {"reference"}
    assert len(set(targets)) == 8  # every circuit of every job has one
    for row, target in enumerate(targets):
        assert told.job_id[row] == rows.job_id[target]
        ours, theirs = (
            [gate[:3] for gate in part.circuits.instructions.circuit(k)]
            for part, k in ((told, row), (rows, target))
        )
        assert ours == theirs


def test_a_collection_keeps_its_number_of_references(with_references, device_config, api, folder):
    dataset, collected = with_references
    for count in (0, 2):
        with pytest.raises(QmendError, match=r"begun with collect\.references=3; go on"):
            collect(
                dataset, device_config, collected, LOCAL.model_copy(update={"references": count})
            )
    planned = plan(small(), LIVE, folder, RUNTIME.model_copy(update={"references": 3}))
    assert planned.circuits == 4 * (2 + 3)
    with pytest.raises(QmendError, match="job_size=2 with 299 references is more than the 300"):
        run(folder, references=299)


def test_references_stay_in_no_split_when_jobs_are_split_again(api, folder):
    by_time = small(split=SplitConfig(by="time", train=0.5, val=0.25, test=0.25))
    run(folder, by_time, references=1)
    stored = stored_rows(folder)
    assert Counter(row["split"] == "reference" for row in stored) == {False: 8, True: 4}
    assert {row["family"] for row in stored if row["split"] == "reference"} == {"reference"}
