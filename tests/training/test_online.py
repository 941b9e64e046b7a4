"""Circuits simulated during a training: endless, apart from val and test, and the same however
they are made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
import yaml

import qmend.training.train as train_module
from qmend.circuits.statevector import compiled_probabilities
from qmend.config.paths import conf_dir
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import LabelledCircuits
from qmend.encodings import ENCODINGS, Batch
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_noise
from qmend.noise.config import AerNoiseConfig, FittedConfig, RandomizedNoise, SurrogateConfig
from qmend.training.config import OnlineConfig, TrainingConfig
from qmend.training.data import encode
from qmend.training.observer import TrainingObserver
from qmend.training.online import OnlineBatches, OnlineSource, choose_noise
from qmend.types import QmendError

FITTED = conf_dir() / "dataset" / "noise" / "surrogate_algiers.yaml"
AER = AerNoiseConfig()
#: A dataset's own constants, far from those of any randomized device.
LOUD = SurrogateConfig(name="surrogate_hardware", device_seed=5, strength=9.0, zz=1.0, drift=0.0)


@pytest.fixture(scope="module")
def circuits(tiny, tiny_config, device_config) -> OnlineCircuits:
    return OnlineCircuits.like(tiny, tiny_config, device_config, AER, seed=0)


@pytest.fixture(scope="module")
def make(tiny):
    """Batches of 12 circuits a draw and 8 a batch."""

    def call(encoding: str = "token", epochs: int = 8, seed: int = 0, **options) -> OnlineBatches:
        train = tiny.part("train")
        fitted = ENCODINGS[encoding]().fit(train.circuits)
        choice = OnlineConfig(**{"circuits": 12, "noise": "dataset", "workers": 0, **options})
        source = OnlineSource.like(tiny, choice, seed)
        stored = fitted(train.circuits, train.ideal)
        return OnlineBatches(source, fitted, True, [stored], 8, epochs, seed)

    return call


def epoch(batches: OnlineBatches, number: int) -> Batch:
    """All rows of an epoch, in its order."""
    return Batch.join(list(batches.epoch(number)))


def same(first: Batch, second: Batch) -> bool:
    pairs = zip(first.tensors.values(), second.tensors.values(), strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def rows(tensors: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row.tolist()) for row in tensors}


# The circuits


def gates(made: LabelledCircuits) -> list[str]:
    return made.circuits.instructions.circuit_ids()


def test_labels_are_the_noiseless_distributions_of_the_compiled_circuits(circuits):
    made = circuits.job(0)[0]
    exact = compiled_probabilities(made.circuits.instructions)  # chain order, as the rows are
    np.testing.assert_allclose(made.ideal, exact, rtol=0, atol=2**-24)


def test_stored_circuits_are_made_again_bit_for_bit_from_their_own_seeds(
    tiny, tiny_config, circuits
):
    """The recipe is the dataset's: with its seed, and its job's number, its very rows."""
    own = replace(circuits, seed=tiny_config.seed, held_out=frozenset())
    for job in (0, 5):
        made = own.job(job - tiny_config.jobs)[0]
        stored = tiny.rows.select(np.flatnonzero(tiny.rows.job_id == f"tiny-{job:06d}"))
        assert made.circuit_id.tolist() == stored.circuit_id.tolist()
        assert made.circuits.calibrations == (stored.circuits.calibrations[0],)
        for name in ("ideal", "noisy_exact", "n_two_qubit", "depth"):
            np.testing.assert_array_equal(getattr(made, name), getattr(stored, name))
        for name in ("noisy", "measured"):
            np.testing.assert_array_equal(
                getattr(made.circuits, name), getattr(stored.circuits, name)
            )


def test_no_circuit_comes_twice_or_is_a_stored_one(tiny, tiny_config, device_config, circuits):
    other = OnlineCircuits.like(tiny, tiny_config, device_config, AER, seed=1)
    ids = [i for made in (circuits, other) for job in range(3) for i in made.job(job)[0].circuit_id]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(tiny.rows.circuit_id)


def test_held_out_circuits_are_redrawn_and_the_others_stay(circuits):
    """Half of a job held out: these are others then, in the same places."""
    before = circuits.job(2)[0]
    kept = np.arange(len(before)) % 2 == 0
    after = replace(circuits, held_out=frozenset(np.array(gates(before))[~kept])).job(2)[0]
    np.testing.assert_array_equal(after.circuit_id == before.circuit_id, kept)
    np.testing.assert_array_equal(after.circuits.noisy[kept], before.circuits.noisy[kept])


def test_what_is_held_out_is_the_validation_and_test_split(tiny, circuits):
    expected = {*gates(tiny.part("val")), *gates(tiny.part("test"))}
    assert circuits.held_out == expected
    assert not expected & set(gates(tiny.part("train")))


def test_a_held_out_circuit_is_not_drawn_with_fewer_measured_qubits(tiny_config, circuits):
    before = gates(circuits.job(2)[0])
    partly = replace(circuits, dataset=tiny_config.model_copy(update={"measured_qubits": (2, 4)}))
    assert gates(partly.job(2)[0]) == before
    assert not set(gates(replace(partly, held_out=frozenset(before)).job(2)[0])) & set(before)


def test_a_family_without_other_circuits_is_refused(tiny_config, circuits):
    """Circuits without a gadget are all the same one."""
    family = tiny_config.family.model_copy(update={"gadgets_min": 0, "gadgets_max": 0})
    empty = replace(circuits, dataset=tiny_config.model_copy(update={"family": family}))
    found = gates(empty.job(0)[0])
    with pytest.raises(QmendError, match=r"too few circuits outside"):
        replace(empty, held_out=frozenset(found)).job(0)[0]


def test_only_calibrations_of_the_training_split_are_used(tiny, tiny_config, device_config):
    """With a split by time the later ones are the future."""
    stored = tiny.rows.circuits
    base = stored.calibrations[0]
    days = tuple(base.model_copy(update={"device": f"day {k}"}) for k in range(3))
    index = np.where(tiny.split == "train", np.arange(len(tiny.rows)) % 2, 2)
    dated = replace(stored, calibrations=days, layouts=stored.layouts * 3, calibration_index=index)
    by_time = replace(tiny, groups=(replace(tiny.rows, circuits=dated),))
    found = OnlineCircuits.like(by_time, tiny_config, device_config, AER, seed=0)
    assert [c.device for c in found.calibrations] == ["day 0", "day 1"]


# Their noise


def test_randomized_noise_differs_by_job_and_never_reads_the_datasets_constants(
    tiny, tiny_config, device_config
):
    def noisy(noise) -> np.ndarray:
        config = tiny_config.model_copy(update={"noise": noise})
        randomized = online_noise("randomized", (0.5, 2.0), config, 0)
        made = OnlineCircuits.like(tiny, config, device_config, randomized, seed=0)
        return np.array([made.job(job)[0].noisy_exact for job in range(2)])

    quiet = SurrogateConfig(name="surrogate_hardware", strength=0.0)
    np.testing.assert_array_equal(noisy(LOUD), noisy(quiet))
    randomized = online_noise("randomized", (0.5, 2.0), tiny_config, 0)
    drawn = [randomized.of_device(job) for job in range(200)]
    assert len({w.device_seed for w in drawn}) == 200
    strength = np.array([w.strength for w in drawn])
    assert 0.5 <= strength.min() < 0.6
    assert 1.9 < strength.max() <= 2.0
    sizes = {"device_seed", "strength"}
    assert {w.model_dump_json(exclude=sizes) for w in drawn} == {
        SurrogateConfig(name="surrogate_hardware").model_dump_json(exclude=sizes)
    }
    assert online_noise("randomized", (0.5, 2.0), tiny_config, 1).of_device(0) != drawn[0]


def test_the_same_circuit_differs_under_two_randomized_noises(circuits):
    a, b = (
        replace(circuits, noise=RandomizedNoise(strength=(1.0, 1.0), seed=seed)).job(0)[0]
        for seed in (0, 1)
    )
    assert a.circuit_id.tolist() == b.circuit_id.tolist()
    apart = np.abs(a.noisy_exact - b.noisy_exact).sum(axis=1)
    assert np.median(apart) > 0.05


def test_randomized_noise_without_strength_is_aers(circuits):
    none = replace(circuits, noise=RandomizedNoise(strength=(0.0, 0.0), seed=3))
    np.testing.assert_allclose(
        none.job(1)[0].noisy_exact, circuits.job(1)[0].noisy_exact, atol=1e-12
    )


def test_a_fitted_noise_is_read_from_its_file(tiny_config, circuits):
    noise = online_noise(FITTED, (0.5, 2.0), tiny_config, 0)
    assert isinstance(noise, FittedConfig)
    fitted = replace(circuits, noise=noise).job(0)[0]
    assert np.abs(fitted.noisy_exact - circuits.job(0)[0].noisy_exact).max() > 0.01


def refused(options: dict[str, object], dataset: DatasetConfig, *parts: str) -> None:
    choice = OnlineConfig(**{"circuits": 12, "noise": "randomized", **options})

    def checked() -> None:
        choice.check(dataset.job_size, 8)
        choose_noise(choice, dataset, 0)

    with pytest.raises(QmendError) as found:
        checked()
    for part in parts:
        assert part in str(found.value)


def test_what_cannot_or_must_not_be_drawn_is_refused(tiny, tiny_config, device_config, tmp_path):
    own = FittedConfig.model_validate(yaml.safe_load(FITTED.read_text()))
    fitted = tiny_config.model_copy(update={"noise": own.model_copy(update={"device_seed": 3})})
    loud = tiny_config.model_copy(update={"noise": LOUD})
    for dataset, name in ((loud, "surrogate_hardware"), (fitted, "surrogate_fitted")):
        refused({"noise": "dataset"}, dataset, f"constants of {name}", "online.noise=randomized")
    refused({"noise": FITTED}, fitted, "the very constants")
    refused(
        {"noise": conf_dir() / "dataset" / "noise" / "surrogate_hardware.yaml"},
        loud,
        "nobody fitted",
    )
    refused({"noise": "randomised"}, loud, "neither dataset nor randomized", "No such file")
    wrong = tmp_path / "noise.yaml"
    wrong.write_text("name: surrogate_fitted\nqubit: {}\n")
    refused({"noise": wrong}, loud, "no noise config", "qubit")
    refused({"circuits": 14}, tiny_config, "multiple of dataset.job_size (4)", "use 12 or 16")
    refused({"circuits": 4}, tiny_config, "fill one batch", "trainer.batch_size (8)")
    measured = replace(tiny, source="hardware")
    with pytest.raises(QmendError, match=r"was measured on hardware, whose noise no config holds"):
        OnlineCircuits.like(measured, tiny_config, device_config, AER, seed=0)


# The batches


def test_an_epoch_follows_from_its_number_alone(make):
    forth, back = make(), make()
    whole = [epoch(forth, k) for k in (0, 1, 2)]
    again = [epoch(back, k) for k in (2, 0, 1)]
    assert all(same(whole[k], again[at]) for at, k in enumerate((2, 0, 1)))
    distributions = [rows(w.noisy) for w in whole]
    assert len(set.union(*distributions)) == 36
    assert len(forth) == len(list(forth.epoch(0))) == 2


def test_workers_change_no_bit(make):
    alone = make("paper", with_stored=True)
    with make("paper", with_stored=True, workers=2) as helped:
        assert helped.identity == alone.identity
        for number in (0, 1, 5, 4):  # in order, then as no training would
            first, second = (list(b.epoch(number)) for b in (alone, helped))
            assert all(same(*pair) for pair in zip(first, second, strict=True))


def test_a_draw_is_used_for_several_epochs_each_in_another_order(make):
    batches = make(epochs_per_draw=2)
    first, second, third = (epoch(batches, k).noisy for k in range(3))
    assert rows(first) == rows(second)
    assert not torch.equal(first, second)
    assert not rows(first) & rows(third)
    assert [batches.source.options.simulated(n) for n in (1, 2, 3)] == [12, 12, 24]


@pytest.mark.parametrize("encoding", ["token", "paper"])
def test_stored_circuits_take_part_whole_among_the_simulated_ones(make, encoding):
    """Every stored circuit once an epoch; padding changes no token."""
    batches = make(encoding, with_stored=True)
    (stored,) = batches.stored
    alone = rows(epoch(make(encoding), 3).noisy)
    found = epoch(batches, 3)
    assert len(found.ideal) == batches.rows == 12 + len(stored.ideal)
    assert rows(found.noisy) == rows(stored.noisy) | alone
    assert len(batches) == -(-batches.rows // 8)

    def content(batch) -> list[tuple]:
        return sorted(
            (tuple(noisy.tolist()), tuple(tokens[mask].flatten().tolist()))
            for noisy, tokens, mask in zip(batch.noisy, batch.tokens, batch.mask, strict=True)
        )

    known = rows(stored.noisy)
    assert [c for c in content(found) if c[0] in known] == content(stored)
    assert not found.tokens[~found.mask].any()


def test_the_identity_tells_whatever_decides_the_circuits(make):
    plain = {"circuits": 12}
    others = [
        {"circuits": 16},
        {"epochs_per_draw": 2},
        {"with_stored": True},
        {"noise": "randomized"},
    ]
    others += [{"noise": "randomized", "strength": (1.0, 2.0)}, {"noise": FITTED}, {"seed": 1}]
    identities = [make(**{**plain, **other}).identity for other in [{}, *others]]
    assert len(set(identities)) == len(identities)
    assert make(**plain).identity == identities[0]


# The training


def train(tiny, state=None, stop_after=0, said=None, **options):
    """Six epochs of 12 simulated circuits, or fewer."""
    epochs: list[int] = []

    def progress(done: int, total: int, values: dict[str, float]) -> None:
        epochs.append(done)
        if done == stop_after:
            raise KeyboardInterrupt

    config = TrainingConfig(
        model={"name": "blind_mlp", "width": 8},
        loss={"name": "l1"},
        optimizer={"lr": 0.01},
        trainer={"max_epochs": 6, "batch_size": 8, "threads": 1, "save_every_seconds": 0.0},
        online={
            "circuits": 12,
            "noise": "randomized",
            "workers": 0,
            "epochs_per_draw": 2,
            **options,
        },
    )
    observer = TrainingObserver(progress, (said if said is not None else []).append)
    trained = train_module.train(config, encode(config, tiny), state=state, observer=observer)
    return trained, epochs


def test_a_stopped_training_on_simulated_circuits_ends_as_an_uninterrupted_one(tiny, tmp_path):
    """Within a draw that two epochs share; resumed with a worker, which changes nothing."""
    whole, epochs = train(tiny)
    assert epochs == [1, 2, 3, 4, 5, 6]
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path, stop_after=4)
    said: list[str] = []
    resumed, rest = train(tiny, tmp_path, said=said, workers=1)
    assert rest == [4, 5, 6]
    assert resumed.history == whole.history
    for name, value in whole.model.network.state_dict().items():
        assert torch.equal(value, resumed.model.network.state_dict()[name])
    assert said == ["Resumes after epoch 3 of 6."]
    train(tiny, tmp_path, said=said, epochs_per_draw=3)
    assert "belongs to another training" in said[1]


#: A process that draws ahead, and says so before it waits to be killed.
KILLED = """
import sys, time
from pathlib import Path
from qmend.encodings import ENCODINGS
from qmend.datasets.table import load_dataset
from qmend.training.config import OnlineConfig
from qmend.training.online import OnlineBatches, OnlineSource

if __name__ == "__main__":
    data = load_dataset(Path(sys.argv[1]))
    train = data.part("train")
    encoding = ENCODINGS["token"]().fit(train.circuits)
    options = OnlineConfig(circuits=4000, noise="dataset")
    source = OnlineSource.like(data, options, 0)
    batches = OnlineBatches(source, encoding, True, [encoding(train.circuits)], 8, 10, 0)
    batches._begin(0)[0].result()
    print("drawing", flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_a_killed_training(tiny_folder, tmp_path):
    script = tmp_path / "draws.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(tiny_folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    family: list[psutil.Process] = []
    try:
        assert process.stdout.readline() == "drawing\n"
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2  # the server and a worker, in the midst of a thousand jobs
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
    finally:
        for left in [process, *family]:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        process.communicate()


def test_stored_circuits_are_measured_again_under_other_noise(tiny, tiny_config, device_config):
    """Same circuits, calibrations and labels; other counts, each time, and Aer's exactly."""
    train = tiny.part("train")
    args = (tiny, tiny_config, device_config)
    again = OnlineCircuits.like(*args, RandomizedNoise(strength=(1.0, 1.0), seed=3), 0, "noise")
    size = tiny_config.job_size
    jobs = len(train) // size
    first, second, later = again.job(0)[0], again.job(1)[0], again.job(jobs)[0]
    np.testing.assert_array_equal(first.circuit_id, train.circuit_id[:size])
    np.testing.assert_array_equal(second.circuit_id, train.circuit_id[size : 2 * size])
    np.testing.assert_array_equal(later.circuit_id, train.circuit_id[:size])
    np.testing.assert_array_equal(first.ideal, train.ideal[:size])
    assert np.abs(later.noisy_exact - first.noisy_exact).sum(axis=1).min() > 1e-3
    same_noise = OnlineCircuits.like(*args, AER, 0, "noise").job(0)[0]
    np.testing.assert_allclose(
        same_noise.noisy_exact, train.noisy_exact[:size], rtol=0, atol=2**-24
    )
    assert not np.array_equal(same_noise.circuits.noisy, train.circuits.noisy[:size])
    spread = np.abs(same_noise.circuits.noisy - same_noise.noisy_exact).sum(axis=1)
    assert spread.max() < 8 * np.sqrt(32 / tiny_config.shots)
