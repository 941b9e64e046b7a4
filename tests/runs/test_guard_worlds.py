"""Worlds that a guard is made in: new ones by the network's own recipe, circuits of one alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import DeviceConfig
from qmend.generation.generate import generate
from qmend.generation.online_noise import online_seed
from qmend.mitigation.guard import GUARD, SIGNALS, Guard
from qmend.reporting.leaderboard import leaderboard_table
from qmend.runs.evaluation import GUARD_TAG
from qmend.runs.guard_worlds import Examples, GuardRate, GuardWorlds
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.tracking.store import Store
from qmend.training.checkpoint import DESCRIPTION, WEIGHTS, checkpoint_folder, load_checkpoint
from qmend.training.config import TrainingConfig
from qmend.types import QmendError
from qmend.workflows.compose import compose
from qmend.workflows.evaluate import evaluate
from qmend.workflows.export import export
from qmend.workflows.guard import guard
from qmend.workflows.load import load
from qmend.workflows.observer import Observer
from qmend.workflows.train import train

DEVICE = DeviceConfig(name="line", backend="FakeAlgiers", layout=(0, 1, 2, 3))
REFERENCES = (0, 1, 3)


@pytest.fixture(scope="module")
def config() -> DatasetConfig:
    """120 circuits of 20 jobs, on devices that show all or nothing."""
    families = {name: {"name": name} for name in ("pauli", "ghz")}
    return DatasetConfig(
        name="worlds",
        family={"name": "mixed", "n_qubits": 4, "families": families},
        circuits=120,
        job_size=6,
        jobs_per_shard=20,
        qubits=(2, 3, 4),
        measured_qubits=(1, 4),
        shots=(100, 10_000),
        seed=3,
        noise={"name": "worlds"},
        calibrations={
            "name": "randomized",
            "devices": 10,
            "reported": {"exact": 0.5, "perturbed": 0.0, "stale": 0.0, "missing": 0.5},
        },
    )


@pytest.fixture(scope="module")
def dataset(config: DatasetConfig, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("guard") / "worlds_line"
    generate(config, DEVICE, folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def trained(dataset: Dataset, store: Store) -> str:
    """Id of the run of a small operator."""
    training = TrainingConfig(
        model={
            "name": "walsh_operator",
            "encoding": "device_paths",
            "channels": 4,
            "blocks": 1,
        },
        loss={"name": "relative_l1"},
        optimizer={"lr": 0.01},
        trainer={"max_epochs": 8, "batch_size": 24, "threads": 1},
    )
    context = Context(store, dataset)
    return run_training(context, "guarded operator", training, training.plain()).run_id


def worlds_of(store: Store, run_id: str, seed: int = 0, references=REFERENCES) -> GuardWorlds:
    model, provenance = load_checkpoint(checkpoint_folder(store, run_id))
    return GuardWorlds.of(store, model, provenance, references, seed)


@pytest.fixture(scope="module")
def worlds(store: Store, trained: str) -> GuardWorlds:
    return worlds_of(store, trained)


def quiet(done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def examples(worlds: GuardWorlds) -> Examples:
    return worlds.examples(range(30), 2, quiet)


# Worlds


def test_each_world_has_as_many_circuits_and_draws_its_references(examples):
    assert len(examples) == 60
    assert tuple(examples.signals) == SIGNALS
    assert set(examples.references.tolist()) == set(REFERENCES)
    pairs = examples.references.reshape(30, 2)
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    np.testing.assert_allclose(
        examples.signals["references"], np.log1p(examples.references), atol=1e-6
    )
    told = examples.references > 0
    assert (examples.signals["gain"][told] != 0).all()
    assert (examples.signals["gain"][~told] == 0).all()


def test_worlds_follow_from_their_numbers_and_the_seed(store, trained, worlds, examples):
    again = worlds.examples(range(4, 6), 2, quiet)
    np.testing.assert_array_equal(again.l1rc, examples.l1rc[8:12])
    other = worlds_of(store, trained, seed=1).examples(range(4, 6), 2, quiet)
    assert not np.isin(other.l1rc, examples.l1rc).any()


def test_no_training_simulates_these_worlds(config, worlds, dataset):
    """Neither circuits nor noise nor devices: their seeds are others."""
    seeds = {online_seed(config.seed, seed) for seed in range(100)} | {config.seed}
    assert worlds.source.seed not in seeds
    assert worlds.source.noise.seed not in seeds
    simulated = [part.circuits for k in range(6) for part in worlds.source.job(k)]
    t1 = [
        {q.t1_us for batch in batches for c in batch.calibrations for q in c.qubits} - {None}
        for batches in (simulated, [group.circuits for group in dataset.groups])
    ]
    assert all(t1)
    assert not t1[0] & t1[1]


def test_a_world_may_have_a_job_size_of_its_own(worlds):
    (small,) = replace(worlds.source, job_size=1).job(3)
    (usual,) = worlds.source.job(3)
    assert (len(small), len(usual)) == (1, 6)
    assert small.circuits.n_qubits == usual.circuits.n_qubits
    np.testing.assert_array_equal(small.circuits.shots[0], usual.circuits.shots[0])


def test_rates_have_exact_intervals():
    l1rc = np.array([0.2, 0.04, -0.5, *[-0.4] * 17])
    drawn = Examples({}, l1rc, np.zeros(20, dtype=np.int64))
    all_but_one = GuardRate.of(drawn, np.arange(20) > 0)
    assert all_but_one.applied_pct.value == 95
    assert (all_but_one.harmed_pct.value, all_but_one.harmed_pct.lo) == (0, 0)
    assert all_but_one.harmed_pct.hi == pytest.approx(100 * (1 - 0.025 ** (1 / 19)))
    assert all_but_one.unguarded_harmed_pct == 5
    none = GuardRate.of(drawn, np.zeros(20, dtype=bool))
    assert np.isnan(none.harmed_pct.value)
    assert none.l1rc_median == 0


# The command as a function


class Told(Observer):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def message(self, sentence: str) -> None:
        self.sentences.append(sentence)


def asked(store: Store, checkpoint: str, *more: str):
    sizes = ["worlds.fit=25", "worlds.choose=40", "worlds.measure=20", "circuits=2", "degree=1"]
    where = [f"checkpoint={checkpoint}", f"tracking.root={store.root}"]
    return compose("guard", [*where, *sizes, f"references={list(REFERENCES)}", *more])


@pytest.fixture(scope="module")
def made(store: Store, trained: str):
    return guard(asked(store, trained, "harmed_pct=60"))


def test_a_guard_is_stored_with_the_network_and_tracked(store, trained, made):
    stored = Guard.beside(checkpoint_folder(store, trained) / WEIGHTS)
    assert stored.plain() == made.guard.plain()
    assert "at most 60 % of the circuits" in stored.sentence
    run = store.client.get_run(made.run_id)
    assert (run.info.status, run.data.tags["kind"]) == ("FINISHED", "guard")
    assert run.data.tags["checkpoint_run"] == trained
    for name, rate in made.rates.items():
        key = name.replace(" = ", "")
        assert run.data.metrics[f"{key}/applied_pct"] == pytest.approx(rate.applied_pct.value)
    assert sum(rate.circuits for name, rate in made.rates.items() if name != "all") == 20
    assert store.artifact(run, f"guard/{GUARD}").exists()


def test_a_guard_can_be_made_again(store, trained, made, tmp_path: Path):
    """For a directory in place of a run, beside which it is put."""
    folder = tmp_path / "network"
    folder.mkdir()
    for file in checkpoint_folder(store, trained).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / GUARD).unlink()
    again = guard(asked(store, str(folder), "harmed_pct=60"))
    assert again.guard.sha == made.guard.sha
    loaded = load(folder)
    assert loaded.mitigator.abstains
    assert loaded.mitigator.guard.sha == made.guard.sha


def test_a_promise_that_can_t_be_kept_is_no_guard(store, trained, made):
    with pytest.raises(QmendError, match=r"at 0\.001 % .*in 40 worlds.*raise worlds\.choose"):
        guard(asked(store, trained, "harmed_pct=0.001", "worlds.measure=1"))
    (run, *_) = store.runs("tags.kind = 'guard'")
    assert run.info.status == "FAILED"
    assert Guard.beside(checkpoint_folder(store, trained) / WEIGHTS).sha == made.guard.sha


def test_a_network_is_exported_with_its_guard_and_a_card(store, trained, made, tmp_path: Path):
    files = export(trained[:12], tmp_path / "network", store.root)
    assert {file.name for file in files} == {WEIGHTS, DESCRIPTION, GUARD, "README.md"}
    source = checkpoint_folder(store, trained)
    for name in (WEIGHTS, DESCRIPTION, GUARD):
        assert (tmp_path / "network" / name).read_bytes() == (source / name).read_bytes()
    card = (tmp_path / "network" / "README.md").read_text()
    for part in (made.guard.sentence, trained, "Apache-2.0", "median L1RC"):
        assert part in card
    assert load(tmp_path / "network").provenance["run_id"] == trained
    with pytest.raises(QmendError, match=f"already has {WEIGHTS}"):
        export(trained, tmp_path / "network", store.root)


def small(command: str, store: Store, config: DatasetConfig, dataset: Dataset, *asked_for: str):
    """The config of a command on the small worlds."""
    places = [f"tracking.root={store.root}", f"data.root={dataset.folder.parent}"]
    composed = compose(command, [*places, *asked_for])
    return composed.model_copy(update={"dataset": config, "device": DEVICE})


def test_an_evaluation_has_a_row_for_the_guard(store, config, dataset, trained, made):
    """Again with ``resume``, it takes over all rows."""
    options = (f"checkpoint={trained}", "baselines=[none]", "resume=true")
    asked_for = small("evaluate", store, config, dataset, *options)
    first, second = (evaluate(asked_for).leaderboard for _ in range(2))
    names = ["none", "walsh_operator", "walsh_operator, guarded"]
    assert [row.name for row in first.configurations] == names
    assert [run.run_id for run in first.runs] == [run.run_id for run in second.runs]
    _, network, guarded = first.runs
    abstained = guarded.scores.l1rc == 0
    share = 100 * (1 - abstained.mean())
    assert guarded.figures["applied_pct"].value == pytest.approx(share)
    np.testing.assert_array_equal(guarded.scores.l1rc[~abstained], network.scores.l1rc[~abstained])
    assert "applied_pct" not in network.figures
    assert guarded.tags[GUARD_TAG] == made.guard.sha
    assert f"{share:.1f}" in leaderboard_table(first).markdown()


def test_a_fine_tuned_network_has_no_guard_and_says_so(store, config, dataset, trained, made):
    told = Told()
    options = (f"checkpoint={trained}", "trainer.max_epochs=1")
    tuned = train(small("train", store, config, dataset, *options), told)
    assert any("`qmend guard` makes one" in sentence for sentence in told.sentences)
    assert Guard.beside(checkpoint_folder(store, tuned.run_id) / WEIGHTS) is None
