"""Worlds: each job has its own size, shots and device, which shows more or less of its values."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from qmend.circuits.statevector import measured_marginals
from qmend.config.spellings import current_form, stable_form
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, LabelledCircuits, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.devices.imputation import UNKNOWN_TIME
from qmend.devices.randomized import RandomizedConfig, ReportedConfig
from qmend.devices.snapshots import SnapshotConfig
from qmend.generation.generate import generate
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_noise
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.generation.verify import verify_dataset
from qmend.noise.config import SurrogateConfig, WorldsConfig
from qmend.noise.readout import apply_readout
from qmend.runs.evaluation import run_evaluation
from qmend.runs.networks import load_networks
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.training.config import TrainingConfig
from qmend.types import QmendError
from reference import stored_rows

DEVICE = DeviceConfig(name="line", backend="FakeAlgiers", layout=(0, 1, 2, 3))
FAMILIES = ("pauli", "random", "ghz")
JOBS = 20
#: Half of a step of stored probabilities.
GRID = 2**-24
PLAIN = {"name": "x", "family": {"name": "pauli"}, "circuits": 12, "job_size": 4, "seed": 1}


@pytest.fixture(scope="module")
def config() -> DatasetConfig:
    """120 circuits on 2 to 4 qubits in 20 jobs, on devices that show all, a part or nothing."""
    families = {name: {"name": name} for name in FAMILIES}
    return DatasetConfig(
        name="worlds",
        family={"name": "mixed", "n_qubits": 4, "families": families},
        circuits=6 * JOBS,
        job_size=6,
        jobs_per_shard=10,
        qubits=(2, 3, 4),
        measured_qubits=(1, 4),
        shots=(100, 1000),
        seed=3,
        noise={"name": "worlds"},
        calibrations={
            "name": "randomized",
            "devices": 14,
            "reported": {"exact": 0.35, "perturbed": 0.2, "stale": 0.2, "missing": 0.25},
        },
    )


@pytest.fixture(scope="module")
def worlds(config, tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "worlds"
    generate(config, DEVICE, folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def setup(config) -> GenerationSetup:
    return generation_setup(config, DEVICE)


def jobs_of(worlds: Dataset) -> dict[int, LabelledCircuits]:
    """The circuits of each job, which are all of one size."""
    jobs = {
        job: group.select(np.flatnonzero(group.job == job))
        for group in worlds.groups
        for job in np.unique(group.job).tolist()
    }
    assert len(worlds) == sum(map(len, jobs.values()))
    return jobs


# Data


def test_labels_calibrations_noise_and_shots_are_proven(worlds):
    checked = verify_dataset(worlds.folder, sample=60)
    assert checked.rows == 6 * JOBS
    assert checked.simulated > 40
    assert checked.difference == 0


def test_each_job_has_one_size_and_one_number_of_shots(worlds, setup):
    jobs = jobs_of(worlds)
    assert len(jobs) == JOBS
    assert all(len(part) == 6 for part in jobs.values())
    sizes = {(p.circuits.n_qubits, p.circuits.n_measured) for p in jobs.values()}
    assert {n for n, _ in sizes} == {2, 3, 4}
    assert all(1 <= m <= n for n, m in sizes)
    assert any(m < n for n, m in sizes)
    shots = [np.unique(part.circuits.shots) for part in jobs.values()]
    assert all(len(each) == 1 for each in shots)
    assert len(set(np.concatenate(shots).tolist())) > JOBS / 2
    for part in jobs.values():
        assert 100 <= part.circuits.shots[0] <= 1000
        for layout in part.circuits.layouts:
            assert layout == DEVICE.layout[: part.circuits.n_qubits]
    assert {row["n_qubits"] for row in stored_rows(worlds.folder)} == {2, 3, 4}


def test_draws_are_as_frequent_as_their_ranges_say(config):
    """Qubits by how often they are listed, shots log-uniform, measured ones at most the qubits."""
    often = config.model_copy(update={"qubits": (2, 4, 4, 4)})
    drawn = np.array([often.draw_n_qubits(job) for job in range(2000)])
    assert np.mean(drawn == 4) == pytest.approx(0.75, abs=0.04)
    measured = np.array([often.draw_n_measured(job) for job in range(2000)])
    assert (measured[drawn == 2] <= 2).all()
    assert set(measured[drawn == 4].tolist()) == {1, 2, 3, 4}
    assert set(measured.tolist()) <= set(often.measured_sizes)
    share = np.log10([often.draw_shots(job) / 100 for job in range(2000)])
    assert share.min() >= 0
    assert share.max() <= 1
    assert np.abs(np.sort(share) - (np.arange(2000) + 0.5) / 2000).max() < 1.63 / 2000**0.5
    assert abs(np.corrcoef([drawn, share])[0, 1]) < 0.07  # 3 sigma: drawn apart


def test_families_come_in_turn_in_the_order_of_their_names(worlds):
    names = [row["family"] for row in stored_rows(worlds.folder)]
    assert names == [sorted(FAMILIES)[k % 3] for k in range(6 * JOBS)]


# What a device shows


def kinds_of(setup: GenerationSetup) -> dict[str, list[int]]:
    """Jobs by what they show of their device."""
    kinds: dict[str, list[int]] = {"exact": [], "rough": [], "nothing": []}
    for job in range(JOBS):
        shown = setup.reported(job)
        same = shown == setup.calibration(job)
        kinds["nothing" if shown is None else "exact" if same else "rough"].append(job)
    assert all(len(jobs) > 1 for jobs in kinds.values())
    return kinds


def test_rows_of_a_device_that_shows_nothing_have_no_calibration(worlds, setup):
    kinds, jobs = kinds_of(setup), jobs_of(worlds)
    for row in stored_rows(worlds.folder):
        assert (row["calibration_id"] is None) == (row["job"] in kinds["nothing"])
        assert row["executed_at"] == setup.calibration(row["job"]).time
    for job in kinds["nothing"]:
        circuits = jobs[job].circuits
        (k,) = np.unique(circuits.calibration_index)
        calibration = circuits.calibrations[k]
        assert calibration.time == UNKNOWN_TIME
        assert all(q.t1_us is q.readout_error is None for q in calibration.qubits)
        assert all(g.error is None for g in calibration.gates if g.gate != "rz")


def test_noise_is_that_of_the_true_device_whatever_it_shows(worlds, setup, config):
    """Built anew from what an exact device shows; of a rough one, from its true values alone."""
    kinds, jobs = kinds_of(setup), jobs_of(worlds)

    def off(job: int, true: bool) -> float:
        part = jobs[job]
        circuits = part.circuits
        (k,) = np.unique(circuits.calibration_index)
        calibration, layout = circuits.chains[k]
        if true:
            calibration = setup.calibration(job)
        noise = config.noise.of_device(job).build(calibration, layout)
        exact = apply_readout(noise.probabilities(circuits.instructions, job), noise.readout)
        return np.abs(measured_marginals(exact, circuits.positions) - part.noisy_exact).max()

    for job in kinds["exact"]:
        assert off(job, true=False) <= GRID
    for job in kinds["rough"]:
        assert off(job, true=True) <= GRID
        assert off(job, true=False) > 1e-3


def test_shares_and_spreads_of_what_devices_show_are_those_of_the_config(setup):
    reported = ReportedConfig.of(
        exact=0.4, perturbed=0.3, stale=0.2, missing=0.1, perturbed_sigma=0.1, stale_sigma=0.5
    )
    true = setup.calibrations[0]
    shown = [reported.report(true, 5, number) for number in range(200)]
    assert shown[:9] == [reported.report(true, 5, number) for number in range(9)]
    assert [c is None for c in shown] != [
        reported.report(true, 6, number) is None for number in range(200)
    ]
    assert np.mean([c is None for c in shown]) == pytest.approx(0.1, abs=0.06)
    assert np.mean([c == true for c in shown]) == pytest.approx(0.4, abs=0.1)
    moved = [c for c in shown if c is not None and c != true]
    times = np.array([[q.t1_us for q in c.qubits] for c in moved])
    logs = np.log(times / [q.t1_us for q in true.qubits])
    # Two normal distributions: most values of a device are within 2 sigma of the narrow one or not.
    narrow = np.sqrt((logs**2).mean(axis=1)) < 0.25
    assert narrow.mean() == pytest.approx(0.6, abs=0.12)
    assert logs[narrow].std() == pytest.approx(0.1, abs=0.02)
    assert logs[~narrow].std() == pytest.approx(0.5, abs=0.08)
    assert np.abs(logs.mean()) < 0.05
    for c in moved:
        for q, was in zip(c.qubits, true.qubits, strict=True):
            mean = (q.prob_meas0_prep1 + q.prob_meas1_prep0) / 2
            assert q.readout_error == pytest.approx(mean)  # none of the three tells the true one
            assert q.readout_error != pytest.approx(was.readout_error)
        assert [q.frequency_ghz for q in c.qubits] == [q.frequency_ghz for q in true.qubits]
        assert [g.length_ns for g in c.gates] == [g.length_ns for g in true.gates]


def test_circuit_stage_tells_whether_gates_are_hidden(worlds, setup, config):
    hidden = {job: config.noise.of_device(job).hides_gates for job in range(JOBS)}
    assert {*hidden.values()} == {True, False}
    for row in stored_rows(worlds.folder):
        assert row["circuit_stage"] == ("submitted" if hidden[row["job"]] else "executed")
    for job, part in jobs_of(worlds).items():
        assert part.circuits.executed.tolist() == [not hidden[job]] * 6


# Configs


def test_hashes_of_configs_without_the_new_keys_are_as_before():
    config = DatasetConfig(
        **PLAIN, noise={"name": "surrogate_hardware"}, calibrations={"name": "randomized"}
    )
    stable = stable_form(config.plain(), "dataset")
    assert "qubits" not in stable
    assert "reported" not in stable["calibrations"]
    assert not {"asymmetric_readout", "hidden_gates"} & set(stable["noise"])
    read = DatasetConfig.model_validate(current_form(stable, "dataset"))
    assert read == config
    changed = {
        "qubits": {**PLAIN, "qubits": (2, 5)},
        "noise": {**PLAIN, "noise": {"name": "surrogate_hardware", "hidden_gates": 0.5}},
        "calibrations": {
            **PLAIN,
            "calibrations": {"name": "randomized", "reported": {"exact": 0.5, "missing": 0.5}},
        },
    }
    for key, values in changed.items():
        other = stable_form(DatasetConfig(**values).plain(), "dataset")
        assert other.get(key) != stable.get(key)
        assert json.dumps(other[key])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qubits": (2, 3)}, r"the largest of qubits must be 5, the family's n_qubits"),
        ({"qubits": (2, 6)}, r"the largest of qubits must be 5"),
        ({"qubits": ()}, r"the largest of qubits must be 5"),
        ({"shots": (10, 1)}, r"shots must be a number or \[least, most\], not \[10, 1\]"),
        ({"shots": (float("nan"), 10)}, "shots"),
        ({"shots": (10, 99), "twirling": {"randomizations": 16}}, r"there are fewer \(10\)"),
    ],
)
def test_sizes_and_shots_that_can_not_be_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        DatasetConfig(**PLAIN, **change)


@pytest.mark.parametrize("exact", [0.9, float("nan")])
def test_shares_that_do_not_add_to_one_are_refused(exact):
    shares = {"exact": exact, "perturbed": 0.0, "stale": 0.0, "missing": 0.2}
    with pytest.raises(ValidationError, match=r"missing must be 1, not 1\.1|finite number"):
        ReportedConfig.of(**shares)
    with pytest.raises(ValidationError):
        ReportedConfig.of(exact=1.0, stale_sigma=float("nan"))


@pytest.mark.parametrize("bad", [(2.0, 0.2), (-1.0, 1.0), (float("nan"), 1.0)])
def test_ranges_of_noise_that_can_not_be_are_refused(bad):
    with pytest.raises(ValidationError, match=r"low <= high|greater than|finite number"):
        WorldsConfig.of(name="worlds", strength=bad)
    with pytest.raises(ValidationError):
        WorldsConfig.of(name="worlds", idle_relaxation=bad)


def test_a_drawn_number_of_shots_is_no_number(config):
    with pytest.raises(QmendError, match=r"dataset.shots=\[100, 1000\] is a range"):
        config.fixed_shots()


def test_the_noise_of_a_job_follows_from_its_number_and_is_within_its_ranges():
    config = WorldsConfig.of(
        name="worlds",
        strength=(0.5, 2.0),
        coherent_share=0.75,
        idle_relaxation=(0.5, 3.0),
        hidden_share=0.5,
    )
    drawn = [config.of_device(job) for job in range(400)]
    assert drawn[:5] == [config.of_device(job) for job in range(5)]
    assert drawn[0] != config.model_copy(update={"seed": 1}).of_device(0)
    usual = SurrogateConfig(name="surrogate_hardware")
    strength = np.array([[c.zz / usual.zz, c.zx / usual.zx, c.rx / usual.rx] for c in drawn])
    np.testing.assert_allclose(strength, strength[:, :1].repeat(3, axis=1))
    coherent = strength[:, 0] > 0
    assert coherent.mean() == pytest.approx(0.75, abs=0.08)
    assert 0.5 <= strength[coherent].min() < strength[coherent].max() <= 2
    waits = np.array([c.idle_relaxation for c in drawn])
    assert 0.5 <= waits.min() < 0.55
    assert 2.7 < waits.max() <= 3
    assert np.mean([c.hides_gates for c in drawn]) == pytest.approx(0.5, abs=0.1)


# Online


@pytest.fixture(scope="module")
def online(worlds, config) -> OnlineCircuits:
    noise = online_noise("dataset", (1.0, 1.0), config, 0)
    return OnlineCircuits.like(worlds, config, DEVICE, noise, 0, "noise")


def test_each_online_job_is_a_world_of_its_own(online, worlds, config):
    """The stored circuits and labels; another device, calibration and number of shots."""
    train = worlds.parts("train")
    stored = {i: (g, k) for g, part in enumerate(train) for k, i in enumerate(part.circuit_id)}
    jobs = -(-sum(map(len, train)) // config.job_size)
    shots, shown, moved = set(), [], []
    for number in range(jobs):
        parts = online.job(number)
        assert sum(map(len, parts)) == config.job_size
        assert len({tuple(np.unique(part.circuits.shots)) for part in parts}) == 1
        shots.add(int(parts[0].circuits.shots[0]))
        shown.append({c.time == UNKNOWN_TIME for p in parts for c in p.circuits.calibrations})
        for part in parts:
            circuits = part.circuits
            assert 100 <= circuits.shots[0] <= 1000
            hidden = online.noise.of_device(number).hides_gates
            assert circuits.executed.tolist() == [not hidden] * len(part)
            for row, name in enumerate(part.circuit_id):
                g, k = stored[name]
                own = train[g].select(np.array([k]))
                np.testing.assert_array_equal(part.ideal[row], own.ideal[0])
                np.testing.assert_array_equal(circuits.measured[row], own.circuits.measured[0])
                moved.append(np.abs(part.noisy_exact[row] - own.noisy_exact[0]).sum())
            known = {c.calibration_id for c in train[0].circuits.calibrations}
            assert not known & {c.calibration_id for c in circuits.calibrations}
    assert len(shots) > jobs / 2
    assert np.median(moved) > 0.05
    assert all(len(kinds) == 1 for kinds in shown)  # all of a job's circuits are on one device
    assert {kinds.pop() for kinds in shown} == {True, False}


def same(first: list[LabelledCircuits], second: list[LabelledCircuits]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(
        np.array_equal(a.circuits.noisy, b.circuits.noisy)
        and a.circuits.calibrations == b.circuits.calibrations
        and np.array_equal(a.circuits.shots, b.circuits.shots)
        for a, b in pairs
    )


def test_an_online_world_follows_from_its_number_and_the_seed(online, worlds, config):
    first = online.job(1)
    online.job(0)
    assert same(online.job(1), first)
    noise = online_noise("dataset", (1.0, 1.0), config, 1)
    assert noise != online.noise
    other = OnlineCircuits.like(worlds, config, DEVICE, noise, 1, "noise")
    assert not same(other.job(1), first)
    assert not same(replace(online, seed=other.seed).job(1), first)
    # Of the same circuits in a later pass: a world of their own again.
    size = sum(map(len, worlds.parts("train")))
    jobs = int(np.lcm(size, config.job_size)) // config.job_size
    again = online.job(jobs + 1)
    assert [part.circuit_id.tolist() for part in again] == [p.circuit_id.tolist() for p in first]
    assert not same(again, first)
    assert isinstance(config.calibrations, RandomizedConfig)


def test_new_circuits_are_in_worlds_of_their_own_too(online, worlds, config):
    """Of any size; the noise is that of the job's true device, not of what the device shows."""
    new = replace(online, resampled=())
    stored = {name for group in worlds.groups for name in group.circuit_id}
    setup = new._setup()
    sizes, shown = set(), set()
    for number in range(12):
        (part,) = new.job(number)
        circuits, job = part.circuits, number + JOBS
        assert not stored & set(part.circuit_id)
        sizes.add(circuits.n_qubits)
        hidden = online.noise.of_device(job).hides_gates
        assert circuits.executed.tolist() == [not hidden] * config.job_size
        true = config.calibrations.device(setup.device.calibration, online.seed, job)
        own, layout = circuits.chains[0]
        kind = "exact" if own == true.restrict(layout) else own.time == UNKNOWN_TIME
        shown.add(kind)
        noise = online.noise.of_device(job).build(true, layout)
        exact = apply_readout(noise.probabilities(circuits.instructions, job), noise.readout)
        off = measured_marginals(exact, circuits.positions) - part.noisy_exact
        assert np.abs(off).max() <= GRID
        again = new.job(number)
        assert same(again, [part])
    assert sizes == {2, 3, 4}
    assert shown == {"exact", True, False}


def test_what_stored_circuits_do_not_show_is_not_made_up(worlds, config):
    """Neither true values for another noise, nor calibrations of more qubits."""
    other = online_noise("randomized", (1.0, 1.0), config, 0)
    with pytest.raises(QmendError, match=r"use online\.noise=dataset"):
        OnlineCircuits.like(worlds, config, DEVICE, other, 0, "noise")
    snapshot = config.model_copy(update={"calibrations": SnapshotConfig()})
    with pytest.raises(QmendError, match=r"use online\.resample=noise"):
        OnlineCircuits.like(worlds, snapshot, DEVICE, other, 0)


# Training


def test_a_network_is_trained_and_scored_in_worlds(worlds, store):
    """Circuits whose device shows nothing among them; in others' worlds while it trains."""
    training = TrainingConfig(
        model={"name": "walsh_operator", "encoding": "device_paths", "channels": 4, "blocks": 1},
        loss={"name": "relative_l1"},
        optimizer={"lr": 0.01},
        trainer={"max_epochs": 4, "batch_size": 24, "threads": 1},
        online={"circuits": 48, "noise": "dataset", "resample": "noise", "workers": 0},
    )
    context = Context(store, worlds)
    unknown = [c.time == UNKNOWN_TIME for p in context.scored for c in p.circuits.calibrations]
    assert any(unknown)
    scored = run_training(context, "operator in worlds", training, training.plain())
    assert len(scored.scores.circuit_id) == sum(map(len, context.scored))
    assert scored.summary.figures["l1rc_median"].value < 0
    (network,) = load_networks(store, [scored.run_id])
    again = run_evaluation(context, network.model, network.provenance, {})
    np.testing.assert_array_equal(again.scores.l1rc, scored.scores.l1rc)
