"""The Walsh-Hadamard neural operator: its symmetries, its start, and circuits of another size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from qmend.encodings import Batch
from qmend.models.base import Dimensions, build_model, model_config, start_at_zero
from qmend.models.walsh_operator import WalshOperator
from qmend.noise.parity_model import ParityLosses, noisy_parities
from qmend.noise.paths import FEATURES
from qmend.walsh import walsh_matrix

N = 4
SIZE = 2**N
SIZES = {"name": "walsh_operator", "channels": 6, "blocks": 3}
CONFIG = model_config({**SIZES, "encoding": "paths"})
ON_DEVICES = model_config({**SIZES, "encoding": "device_paths"})


def network(n: int = N, trained: bool = True, device: bool = False) -> WalshOperator:
    torch.manual_seed(3)
    config, numbers = (ON_DEVICES, 10) if device else (CONFIG, 0)
    model = build_model(config, Dimensions(n, len(FEATURES), 3, numbers))
    assert isinstance(model, WalshOperator)
    if trained:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double().eval()


def inputs(n: int = N, rows: int = 5, readout: float = 0.03) -> Batch:
    generator = torch.Generator().manual_seed(1)
    size = 2**n

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    tokens = draw(rows, size, len(FEATURES))
    tokens[..., 5:] *= 20
    tokens[:, 0] = 0
    noisy = draw(rows, size) ** 3
    return Batch(
        tokens=tokens,
        mask=torch.ones(rows, size, dtype=torch.bool),
        context=draw(rows, 3),
        noisy=noisy / noisy.sum(1, keepdim=True),
        readout=torch.full((rows, n), readout, dtype=torch.float64),
        shots=torch.full((rows, 1), 20000.0, dtype=torch.float64),
    )


@pytest.mark.parametrize("mask", [1, 6, 15])
def test_it_commutes_with_bit_flips(mask: int) -> None:
    """Flipped outcomes in, the same outcomes flipped out: parities only change their sign."""
    model, given = network(), inputs()
    flipped = torch.arange(SIZE) ^ mask
    turned = model(replace(given, noisy=given.noisy[:, flipped]))
    torch.testing.assert_close(turned, model(given)[:, flipped], atol=1e-12, rtol=0)


def relabelled(order: list[int]) -> torch.Tensor:
    """Index of each outcome whose bit k is bit order[k] of the new one."""
    new = np.arange(SIZE)
    return torch.from_numpy(sum(((new >> k) & 1) << q for k, q in enumerate(order)))


def test_it_commutes_with_a_relabelling_of_qubits() -> None:
    model, given = network(), inputs()
    at = relabelled([2, 0, 3, 1])
    moved = replace(given, noisy=given.noisy[:, at], tokens=given.tokens[:, at])
    torch.testing.assert_close(model(moved), model(given)[:, at], atol=1e-12, rtol=0)


def test_before_training_it_is_the_filtered_inverse() -> None:
    """With sharp statistics and no idle time: the calibration's own factors, divided out."""
    model = network(trained=False)
    with torch.no_grad():
        model.log_counts.fill_(-100.0)
        model.log_idle.fill_(-100.0)
        model.channel[-1].bias[1:] = torch.tensor([-100.0, 10.0])  # no further error
    rng = np.random.default_rng(0)
    ideal = rng.dirichlet(np.ones(SIZE), 5)
    given = inputs(readout=0.0)
    given = replace(given, shots=torch.full((5, 1), 1e12, dtype=torch.float64))
    walsh = torch.from_numpy(walsh_matrix(N))
    rate = given.tokens[..., FEATURES.index("ended_rate")]
    parities = torch.from_numpy(ideal) @ walsh * torch.exp(-rate)
    out = model(replace(given, noisy=parities @ walsh / SIZE))
    np.testing.assert_allclose(out.detach().numpy(), ideal, atol=1e-6)


def test_the_same_weights_take_any_number_of_qubits() -> None:
    """An idle, noise-free qubit more changes nothing before the learned part."""
    model = network(trained=False)
    given = inputs(3, readout=0.0)
    padded = torch.zeros(5, SIZE, dtype=torch.float64)
    padded[:, :8] = given.noisy
    more = replace(
        inputs(4, readout=0.0),
        tokens=given.tokens.repeat(1, 2, 1),
        noisy=padded,
        context=given.context,
    )
    alike = model(more)[:, :8]
    # The idle qubit's own parity, whose factor is not exactly one here, is all that differs.
    assert (alike / alike.sum(1, keepdim=True) - model(given)).abs().max() < 0.05
    assert model(more)[:, 8:].sum(1).max() < 0.05


def test_nothing_measured_gives_nothing() -> None:
    """Uniform in, uniform out, whatever the circuit and the weights: it can't simulate."""
    given = replace(inputs(readout=0.0), noisy=torch.full((5, SIZE), 1 / SIZE).double())
    out = network()(given)
    torch.testing.assert_close(out, given.noisy, atol=1e-9, rtol=0)


# Numbers of the device


def on_device(given: Batch, theta: np.ndarray | None = None) -> Batch:
    """With numbers of the device, theta (B, 4) among them; its bias is 0 by default."""
    rows = len(given)
    rng = np.random.default_rng(4)
    if theta is None:
        theta = rng.normal(0, 0.3, (rows, 4)) * [1, 1, 1, 0]
    others = np.column_stack([rng.uniform(0.1, 0.5, (rows, 4)), np.ones((rows, 2))])
    return replace(given, device=torch.from_numpy(np.column_stack([theta, others])))


def test_before_training_it_inverts_the_model_of_parities() -> None:
    """Gates, waits and asymmetric readout, each with its own factor, undone exactly."""
    model = network(trained=False, device=True)
    with torch.no_grad():
        model.log_counts.fill_(-100.0)
        model.log_idle.fill_(0.0)
        model.channel[-1].bias[1:] = torch.tensor([-100.0, 10.0])  # no further error
    rng = np.random.default_rng(0)
    ideal, theta = rng.dirichlet(np.ones(SIZE), 5), rng.normal(0, 0.4, (5, 4))
    given = inputs()
    readout = torch.from_numpy(rng.uniform(0.01, 0.1, (5, N)))
    given = replace(given, readout=readout, shots=torch.full((5, 1), 1e12, dtype=torch.float64))
    walsh = walsh_matrix(N)
    losses = ParityLosses.of(given.tokens.numpy(), readout.numpy())
    noisy = torch.from_numpy(noisy_parities(losses, ideal @ walsh, theta) @ walsh / SIZE)
    out = model(on_device(replace(given, noisy=noisy), theta))
    np.testing.assert_allclose(out.detach().numpy(), ideal, atol=1e-6)
    for number in range(4):  # none is without effect
        other = theta.copy()
        other[:, number] += 0.3
        off = model(on_device(replace(given, noisy=noisy), other)).detach().numpy() - ideal
        assert np.abs(off).max() > 1e-3


#: Features in the order in which the operator reads them with numbers of the device.
LOSSES = ["survival_rate", "ended_rate", "spread", "one_qubit_rate", "two_qubit_rate"]
LOSSES += ["ended_idle_rate", "idle_rate", "weight"]
KINDS = ["zz", "zx", "spectators", "rx", "rz"]


def test_without_a_word_of_the_device_its_estimate_is_that_of_the_operator_on_paths() -> None:
    """All four numbers 0, no weights on the device or counts of gates, no learned correction."""
    plain, device = network(), network(device=True)
    values = plain.state_dict()
    features, kept = len(FEATURES), [FEATURES.index(name) for name in LOSSES]
    counts = [k for k in range(features) if k not in kept]
    # In a filter the doubt is the tenth of the features before those of paths.
    starts = {"channel.0.weight": 0, **{f"filters.{k}.0.weight": 9 for k in range(3)}}
    for name, target in device.state_dict().items():
        source = values[name]
        if name not in starts:
            target.copy_(source)
            continue
        before = starts[name]
        source[:, [before + k for k in counts]] = 0
        target.zero_()
        target[:, :before] = source[:, :before]
        own = before + int(before > 0)
        target[:, own : own + len(kept)] = source[:, [before + k for k in kept]]
        after = own + len(kept) + len(KINDS)
        rest = source[:, before + features :]
        target[:, after : after + rest.shape[1]] = rest
    for model in (plain, device):  # its outcomes are scaled in another way
        start_at_zero(model.outward[-1])
    given = inputs()
    silent = on_device(given, np.zeros((5, 4)))
    torch.testing.assert_close(device(silent), plain(given), atol=1e-12, rtol=0)
    told = on_device(given, np.full((5, 4), 0.3))
    assert (device(told) - plain(given)).abs().max() > 1e-3


def test_a_long_circuit_on_a_good_device_is_a_short_one_on_a_bad_device() -> None:
    """Three times the losses by the calibration, of which the device has a third."""
    model, given = network(device=True), inputs()
    theta = np.random.default_rng(5).normal(0, 0.3, (5, 4))
    expected = model(on_device(given, theta))
    longer = given.tokens.clone()
    gates = LOSSES[:5]
    longer[..., [FEATURES.index(name) for name in gates]] *= 3
    longer[..., [FEATURES.index(name) for name in ("ended_idle_rate", "idle_rate")]] *= 2
    better = theta - [np.log(3), np.log(2), 0, 0]
    out = model(on_device(replace(given, tokens=longer), better))
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=0)
    assert (model(on_device(replace(given, tokens=longer), theta)) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("mask", [1, 6, 15])
def test_with_numbers_of_the_device_it_commutes_with_flips_if_readout_does(mask: int) -> None:
    model, given = network(device=True), inputs()
    flipped = torch.arange(SIZE) ^ mask
    turned = replace(given, noisy=given.noisy[:, flipped])
    expected = model(on_device(given))[:, flipped]
    torch.testing.assert_close(model(on_device(turned)), expected, atol=1e-12, rtol=0)
    biased = np.array([[0.0, 0.0, 0.0, 0.5]] * 5)
    apart = model(on_device(turned, biased)) - model(on_device(given, biased))[:, flipped]
    assert apart.abs().max() > 1e-3


@pytest.mark.parametrize("n", [1, 2, 3])
def test_with_numbers_of_the_device_the_same_weights_take_any_size(n: int) -> None:
    """Built for four qubits or for n."""
    out = network(device=True)(on_device(inputs(n)))
    torch.testing.assert_close(out.sum(1), torch.ones(5).double(), atol=1e-12, rtol=0)
    assert out.shape == (5, 2**n)
    own = network(n, device=True)(on_device(inputs(n)))
    torch.testing.assert_close(out, own, atol=0, rtol=0)


def _other_readout(model: WalshOperator, batch: Batch) -> Batch:
    return replace(batch, readout=batch.readout + 0.05)


def _permuted_paths(model: WalshOperator, batch: Batch) -> Batch:
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(SIZE - 1)])
    return replace(batch, tokens=batch.tokens[:, order])


def _other_loss(model: WalshOperator, batch: Batch) -> Batch:
    return _moved(model, "log_gates", batch)


def _other_network(model: WalshOperator, batch: Batch) -> Batch:
    return _moved(model, "channel.0.weight", batch)


def _other_correction(model: WalshOperator, batch: Batch) -> Batch:
    return _moved(model, "inward.weight", batch)


def _other_prior(model: WalshOperator, batch: Batch) -> Batch:
    with torch.no_grad():
        model.channel[-1].get_parameter("bias")[2] += 1
    return batch


def _moved(model: WalshOperator, name: str, batch: Batch) -> Batch:
    with torch.no_grad():
        model.get_parameter(name).add_(0.3)
    return batch


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("readout", _other_readout),
        ("loss", _other_loss),
        ("paths", _permuted_paths),
        ("network", _other_network),
        ("filter", _other_prior),
        ("correction", _other_correction),
    ],
)
def test_what_is_taken_out_has_no_effect_any_more(part: str, change) -> None:
    batch = inputs()
    for without in ((), (part,)):
        model = network()
        model.without = frozenset(without)
        with torch.no_grad():
            before = model(batch)
            after = model(change(model, batch))
        assert torch.allclose(after.sum(1), torch.ones(5, dtype=torch.float64))
        assert torch.allclose(before, after, atol=1e-12) == bool(without), without
