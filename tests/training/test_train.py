"""Training a network: reproducible, better than its start, best weights kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import qmend.training.train as train_module
from example_models import example_config
from qmend import metrics
from qmend.encodings import Batch, BatchLoader
from qmend.models.base import ARCHITECTURES
from qmend.models.config import ModelConfig
from qmend.models.trained import TrainedModel
from qmend.training.batches import ShuffledBatches, digest
from qmend.training.config import OptimizerConfig, TrainingConfig
from qmend.training.data import encode
from qmend.training.losses import LOSSES
from qmend.training.module import MitigationModule
from qmend.training.observer import TrainingObserver
from qmend.training.train import Trained
from qmend.types import QmendError

BLIND = {"name": "blind_mlp", "width": 16}
PHYSICS = example_config("physics_perceiver")


def train(tiny, model=BLIND, loss="kl", epochs=4, seed=0, lr=3e-3, progress=None, **trainer):
    optimizer = {k: trainer.pop(k) for k in ("schedule",) if k in trainer}
    config = TrainingConfig(
        model=model,
        loss={"name": loss},
        optimizer={"lr": lr, **optimizer},
        trainer={"max_epochs": epochs, "batch_size": 24, "threads": 1, **trainer},
        seed=seed,
    )
    observer = TrainingObserver(epoch=progress) if progress else None
    return train_module.train(config, encode(config, tiny), observer=observer)


def with_dropout(name: str) -> ModelConfig:
    """An architecture's example, with dropout where it has any."""
    config = example_config(name)
    return config.model_copy(update={"dropout": 0.2}) if hasattr(config, "dropout") else config


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.model.network.parameters()])


def validation_loss(tiny, model: TrainedModel, loss: str) -> float:
    part = tiny.part("val")
    batch = model.encoding(part.circuits, part.ideal)
    with torch.no_grad():
        out = model.network(batch)
    return LOSSES[loss](out, batch.labels, batch.noisy).item()


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_seed_gives_the_same_network(tiny, name):
    """Dropout and shuffling included, whatever state torch was in before."""
    model = with_dropout(name)
    torch.manual_seed(1)
    first = train(tiny, model, epochs=2)
    torch.manual_seed(2)
    again = train(tiny, model, epochs=2)
    assert torch.equal(weights(first), weights(again))
    assert first.history == again.history
    other = train(tiny, model, epochs=2, seed=1)
    assert not torch.equal(weights(first), weights(other))


def test_all_architectures_are_trained_here():
    """In :func:`test_a_seed_gives_the_same_network`."""
    trained = {"blind_mlp", "mlp", "noisy_enc", "perceiver", "physics_perceiver", "rnn"}
    assert set(ARCHITECTURES) == trained | {"tf", "tfm", "walsh_operator"}


def test_torchs_random_state_is_left_as_it_was(tiny):
    state = torch.get_rng_state()
    train(tiny, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("loss", LOSSES)
def test_training_lowers_the_loss_and_the_error(tiny, loss):
    trained = train(tiny, loss=loss, epochs=60, lr=1e-2)
    history = trained.history["train/loss"]
    assert len(history) == 60
    assert history[-1] < 0.8 * history[0]
    if loss == "reverse_kl":
        return  # it seeks modes: a network that sees no circuit settles on a few outcomes
    part = tiny.part("train")
    mitigated = trained.model.mitigate(part.circuits)
    change = metrics.l1rc(part.ideal, part.circuits.noisy, mitigated)
    assert metrics.median_l1rc(change) < -0.1


@pytest.mark.parametrize("monitor", ["val/loss", "val/l1rc_median"])
def test_the_weights_of_the_best_epoch_are_kept(tiny, monitor):
    """A learning rate far too high makes later epochs worse."""
    trained = train(tiny, epochs=12, lr=1.0, schedule="constant", monitor=monitor)
    history = trained.history[monitor]
    assert np.argmin(history) < len(history) - 1
    if monitor == "val/loss":
        found = validation_loss(tiny, trained.model, "kl")
    else:
        part = tiny.part("val")
        mitigated = trained.model.mitigate(part.circuits)
        found = metrics.median_l1rc(metrics.l1rc(part.ideal, part.circuits.noisy, mitigated))
    assert found == pytest.approx(min(history), rel=1e-4)


def test_history_holds_one_value_an_epoch_and_progress_sees_it(tiny):
    seen = []
    trained = train(
        tiny, epochs=3, progress=lambda done, total, values: seen.append((done, total, values))
    )
    assert [(done, total) for done, total, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert set(trained.history) == {"train/loss", "val/loss", "val/l1rc_median"}
    for name, values in trained.history.items():
        assert values == [v[name] for _, _, v in seen]


def test_the_logged_median_is_that_of_all_validation_circuits(tiny):
    """A learning rate of nearly nothing: the network stays at its start."""
    trained = train(tiny, epochs=1, lr=1e-12)
    part = tiny.part("val")
    smoothed = part.circuits.noisy + 0.5 / 2000
    smoothed /= smoothed.sum(axis=1, keepdims=True)
    expected = np.median(metrics.l1rc(part.ideal, part.circuits.noisy, smoothed))
    assert trained.history["val/l1rc_median"] == pytest.approx([expected], abs=1e-4)


def test_patience_ends_a_training_that_gets_no_better(tiny):
    trained = train(tiny, epochs=40, lr=0.3, schedule="constant", patience=2)
    history = trained.history["val/loss"]
    assert len(history) < 40
    assert len(history) == int(np.argmin(history)) + 1 + 2


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", "constant"])
def test_every_schedule_trains(tiny, schedule):
    history = train(tiny, epochs=6, schedule=schedule).history["train/loss"]
    assert history[-1] < history[0]


def test_schedules_differ(tiny):
    found = [weights(train(tiny, epochs=2, schedule=s)) for s in ("one_cycle", "constant")]
    assert not torch.equal(*found)


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 11, 20])
def test_one_cycle_rises_and_falls_in_a_training_of_any_length(steps):
    """Short trainings too: 10 steps are 2 epochs of 5 batches."""
    model = nn.Linear(1, 1)
    module = MitigationModule(model, LOSSES["l1"], OptimizerConfig(lr=0.5), steps)
    (optimizer,), (plan,) = module.configure_optimizers()
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            plan["scheduler"].step()
    assert plan["interval"] == "step"
    assert max(rates) <= 0.5 * (1 + 1e-9)
    if steps >= 5:
        assert max(rates) > 0.2
        assert np.argmax(rates) < steps / 2
        assert rates[-1] < 0.01


def test_mitigation_is_a_distribution_for_each_circuit_alone(tiny):
    trained = train(tiny, PHYSICS, epochs=1)
    circuits = tiny.part("test").circuits
    together = trained.model.mitigate(circuits)
    assert together.dtype == np.float64
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-12)
    assert (together >= 0).all()
    order = np.arange(len(circuits))[::-1]
    np.testing.assert_allclose(
        trained.model.mitigate(circuits.select(order)), together[::-1], atol=1e-6
    )
    alone = trained.model.mitigate(circuits.select(np.array([3])))
    np.testing.assert_allclose(alone[0], together[3], atol=1e-6)


def test_the_encoding_is_fitted_on_the_training_split_alone(tiny):
    trained = train(tiny, PHYSICS, epochs=1)
    context = trained.model.encoding.contexts(tiny.part("train").circuits)
    np.testing.assert_allclose(trained.model.encoding.standardiser.mean, context.mean(axis=0))


# Batches


def bits_of(rows: int, bits: int) -> Batch:
    """Numbered circuits that measure so many bits."""
    number = torch.arange(float(rows))[:, None]
    wide = {"noisy": number * torch.ones(1, 2**bits), "readout": number * torch.ones(1, bits)}
    return replace(numbered(rows), **wide)


def numbered(rows: int) -> Batch:
    """Circuits whose shots and frequencies are their number."""
    number = torch.arange(float(rows))[:, None]
    return Batch(
        tokens=number[:, None] * torch.ones(1, 2, 3),
        mask=torch.ones(rows, 2, dtype=torch.bool),
        context=number,
        noisy=number * torch.ones(1, 4),
        readout=number * torch.ones(1, 2),
        shots=number,
    )


def numbers(batch: Batch) -> list[int]:
    return batch.shots[:, 0].int().tolist()


def test_batches_in_order_cover_every_row():
    loader = BatchLoader(numbered(10), batch_size=4)
    assert len(loader) == 3
    for _ in range(2):
        assert [numbers(batch) for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_training_batches_are_shuffled_anew_each_epoch(tiny, monkeypatch):
    """The real loader, watched: every circuit once an epoch, in an order of its own."""
    epochs: list[list[int]] = []

    class Watched(ShuffledBatches):
        def epoch(self, number: int):
            order: list[int] = []
            epochs.append(order)
            for batch in super().epoch(number):
                rows = batch.labels[:, None] == self.groups[0].labels[None]
                order += rows.all(dim=2).int().argmax(dim=1).tolist()
                yield batch

    monkeypatch.setattr(train_module, "ShuffledBatches", Watched)
    train(tiny, epochs=2)
    rows = list(range(len(tiny.part("train"))))
    assert [sorted(order) for order in epochs] == [rows, rows]
    assert epochs[0] != epochs[1]
    assert rows not in epochs


def test_shuffled_batches_are_new_permutations_that_keep_rows_together():
    batches = ShuffledBatches([numbered(50)], 8, seed=0)
    assert len(batches) == 7
    passes = []
    for epoch in range(3):
        parts = list(batches.epoch(epoch))
        assert all((b.noisy == b.shots).all() for b in parts)
        passes.append(numbers(Batch.join(parts)))
    assert all(sorted(p) == list(range(50)) for p in passes)
    assert passes[0] != passes[1] != passes[2]


def test_groups_share_the_batches_and_none_mixes_them():
    """Every row once an epoch, in even batches of the asked size at most."""
    groups = [bits_of(rows, bits) for rows, bits in ((50, 1), (3, 2), (21, 3))]
    batches = ShuffledBatches(groups, 8, seed=0)
    assert len(batches) == 11
    orders = []
    for epoch in range(3):
        parts = list(batches.epoch(epoch))
        assert len(parts) == 11
        assert sorted(map(len, parts)) == [3] + [7] * 9 + [8]
        orders.append([part.n_bits for part in parts])
        for group in groups:
            own = [part for part in parts if part.n_bits == group.n_bits]
            assert sorted(numbers(Batch.join(own))) == list(range(len(group)))
    assert sorted(orders[0]) == sorted(orders[1]) == [1] * 7 + [2] + [3] * 3
    assert orders[0] != orders[1] != sorted(orders[1])


def test_the_number_of_an_epoch_decides_its_batches():
    """In whatever order epochs are asked for; the first are those of the seed's generator."""

    def rows(batches: ShuffledBatches, number: int) -> list[int]:
        return numbers(Batch.join(list(batches.epoch(number))))

    generator = torch.Generator().manual_seed(3)
    expected = [torch.randperm(50, generator=generator).tolist() for _ in range(5)]
    batches = ShuffledBatches([numbered(50)], 8, 3)
    assert [rows(batches, k) for k in (0, 1, 2, 4, 3, 3, 0)] == [
        expected[k] for k in (0, 1, 2, 4, 3, 3, 0)
    ]
    for _ in batches.epoch(2):
        break  # left in the middle, as an interrupt does
    assert rows(batches, 1) == expected[1]


def test_batches_of_other_data_sizes_or_seeds_have_another_identity():
    found = {
        ShuffledBatches([data], size, seed).identity
        for data in (numbered(10), numbered(11), replace(numbered(10), noisy=torch.zeros(10, 4)))
        for size in (4, 5)
        for seed in (0, 1)
    }
    assert len(found) == 12
    same = ShuffledBatches([numbered(10)], 4, 0).identity
    assert same in found
    assert digest({"x": torch.tensor([True, False])}) != digest({"x": torch.tensor([False, True])})


# Where and how exactly


def test_only_deterministic_operations_inside_and_as_before_afterwards(tiny):
    seen = []
    progress = [lambda *_: seen.append(torch.are_deterministic_algorithms_enabled())]
    first = train(tiny, epochs=1, progress=progress[0])
    loose = train(tiny, epochs=1, progress=progress[0], deterministic=False)
    assert seen == [True, False]
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(weights(first), weights(loose))


def test_determinism_is_restored_when_training_breaks(tiny):
    def stop(*_):
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        train(tiny, epochs=1, progress=stop)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("ema", [None, 0.9])
def test_half_precision_trains_nearly_the_same_network(tiny, ema):
    model = example_config("perceiver").model_copy(update={"dropout": 0.0})
    exact = train(tiny, model, epochs=3, ema=ema)
    mixed = train(tiny, model, epochs=3, ema=ema, precision="bf16-mixed")
    assert not torch.equal(weights(exact), weights(mixed))
    assert {p.dtype for p in mixed.model.network.parameters()} == {torch.float32}
    np.testing.assert_allclose(
        mixed.history["val/loss"], exact.history["val/loss"], rtol=0.02, atol=0
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"accelerator": "gpu"}, r"trainer\.accelerator=gpu, but torch finds no CUDA GPU here"),
        ({"precision": "16-mixed"}, r"trainer\.precision=16-mixed needs a GPU"),
        ({"precision": "16-mixed", "accelerator": "auto"}, "needs a GPU"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_sentence(tiny, fields, message):
    with pytest.raises(QmendError, match=message):
        train(tiny, epochs=1, **fields)


def test_auto_takes_the_cpu_where_there_is_no_gpu(tiny):
    assert len(train(tiny, epochs=1, accelerator="auto").history["val/loss"]) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("model", sorted(ARCHITECTURES))
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_every_architecture_trains_on_a_gpu(tiny, model, precision):
    """To the same bits twice, and in 32 bits to nearly the network of the CPU."""
    config = example_config(model)
    fields = config.model_copy(update={"dropout": 0.0}) if hasattr(config, "dropout") else config
    first, again = (
        train(tiny, fields, epochs=2, accelerator="gpu", precision=precision, ema=0.9)
        for _ in range(2)
    )
    assert torch.equal(weights(first), weights(again))
    assert {p.device.type for p in first.model.network.parameters()} == {"cpu"}
    if precision == "32-true":
        cpu = train(tiny, fields, epochs=2, ema=0.9)
        np.testing.assert_allclose(first.history["val/loss"], cpu.history["val/loss"], rtol=0.02)
