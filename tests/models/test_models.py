"""Every architecture: a distribution out, whatever comes in; and what its head is equal to."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from example_models import example_config
from qmend.encodings import ENCODINGS, Batch
from qmend.gates import GATES
from qmend.models.base import (
    ARCHITECTURES,
    Architecture,
    Dimensions,
    ModelConfig,
    build_model,
    count_parameters,
    log_floored,
    model_config,
)
from qmend.models.physics_perceiver import PhysicsPerceiver, invert_readout
from qmend.noise.readout import apply_readout
from qmend.types import QmendError

#: Name -> config of every example that an architecture gives of itself.
CONFIGS = {
    f"{kind}-{example}": example_config(kind, example)
    for kind, architecture in ARCHITECTURES.items()
    for example in architecture.examples
}
CORRECTIONS = [
    name for name, config in CONFIGS.items() if getattr(config, "head", "") == "correction"
]
every_model = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture(scope="module")
def encoded(tiny) -> dict[str, Batch]:
    """Encoding -> 12 real circuits."""
    circuits = tiny.rows.select(np.arange(12)).circuits
    return {
        name: ENCODINGS[name]().fit(tiny.part("train").circuits)(circuits)
        for name in {config.encoding for config in CONFIGS.values()}
    }


def build(name: str, encoded: dict[str, Batch], trained: bool = True) -> tuple[Architecture, Batch]:
    """A network in evaluation mode with its inputs.

    ``trained`` moves all weights away from their start, where some layers are zero and many
    outputs could not depend on anything.
    """
    config = CONFIGS[name]
    inputs = encoded[config.encoding]
    torch.manual_seed(0)
    model = build_model(config, Dimensions.of(inputs))
    if trained:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval(), inputs


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_an_architecture_gives_an_example_of_each_head(kind):
    architecture = ARCHITECTURES[kind]
    configs = [example_config(kind, name) for name in architecture.examples]
    shown = {getattr(config, "head", "") for config in configs}
    assert shown == outputs(architecture.config_type)


def outputs(config: type[ModelConfig]) -> set[str]:
    field = config.model_fields.get("head")
    return set(get_args(field.annotation)) if field else {""}


def point_mass(inputs: Batch) -> Batch:
    return replace(inputs, noisy=functional.one_hot(torch.arange(12) * 2, 32).float())


def uniform(inputs: Batch) -> Batch:
    return replace(inputs, noisy=torch.full((12, 32), 1 / 32))


def noise_free(inputs: Batch) -> Batch:
    """Amplitudes of a product state squared: many zeros, none of it noise."""
    product = torch.ones(1)
    for one in (0.0, 0.3, 1.0, 0.5, 0.0):
        product = torch.kron(torch.tensor([1 - one, one]), product)
    return replace(inputs, noisy=product.expand(12, -1))


def few_shots(inputs: Batch) -> Batch:
    return replace(inputs, shots=torch.ones(12, 1))


def many_shots(inputs: Batch) -> Batch:
    return replace(point_mass(inputs), shots=torch.full((12, 1), 1e9))


def clipped_context(inputs: Batch) -> Batch:
    return replace(inputs, context=torch.full_like(inputs.context, 10.0))


def strong_readout(inputs: Batch) -> Batch:
    return replace(point_mass(inputs), readout=torch.full((12, 5), 0.4))


def coin_readout(inputs: Batch) -> Batch:
    """A qubit whose outcome says nothing, as snapshots report for a broken one."""
    readout = inputs.readout.clone()
    readout[:, 2] = 0.5
    return replace(inputs, readout=readout)


def hopeless_gates(inputs: Batch) -> Batch:
    """Tokens twenty times their size: nothing of the signal survives."""
    return replace(inputs, tokens=inputs.tokens * 20)


def empty_circuit(inputs: Batch) -> Batch:
    return replace(
        inputs, tokens=torch.zeros_like(inputs.tokens), mask=torch.zeros_like(inputs.mask)
    )


def no_tokens(inputs: Batch) -> Batch:
    return replace(inputs, tokens=inputs.tokens[:, :0], mask=inputs.mask[:, :0])


@every_model
@pytest.mark.parametrize(
    "change",
    [
        lambda inputs: inputs,
        point_mass,
        uniform,
        noise_free,
        few_shots,
        many_shots,
        clipped_context,
        strong_readout,
        coin_readout,
        hopeless_gates,
        empty_circuit,
        no_tokens,
    ],
    ids=lambda f: f.__name__,
)
def test_the_output_is_a_distribution(name, change, encoded):
    model, inputs = build(name, encoded)
    out = model(change(inputs))
    assert out.shape == (12, 32)
    assert torch.isfinite(out).all()
    assert (out >= 0).all()
    torch.testing.assert_close(out.sum(dim=1), torch.ones(12), atol=1e-5, rtol=0)


@every_model
def test_gradients_are_finite_for_a_point_mass(name, encoded):
    model, inputs = build(name, encoded)
    loss = -log_floored(model(point_mass(inputs)))[:, 0].mean()
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().max() > 0 for g in gradients)


@every_model
def test_gradients_reach_all_parameters(name, encoded):
    model, inputs = build(name, encoded)
    # All twelve circuits have one calibration, which standardises to zero.
    inputs = replace(inputs, context=torch.ones_like(inputs.context))
    (model(inputs) * torch.rand(32, generator=torch.manual_seed(6))).sum().backward()
    idle = {
        parameter
        for parameter, value in model.named_parameters()
        if value.grad is None or not value.grad.abs().max() > 0
    }
    assert idle == set()


@every_model
def test_evaluation_is_deterministic(name, encoded):
    model, inputs = build(name, encoded)
    assert torch.equal(model(inputs), model(inputs))


@every_model
def test_an_empty_circuit_is_the_same_at_any_padding(name, encoded):
    model, inputs = build(name, encoded)
    torch.testing.assert_close(
        model(no_tokens(inputs)), model(empty_circuit(inputs)), atol=1e-5, rtol=0
    )


@every_model
def test_masked_padding_changes_nothing(name, encoded):
    """A batch with a longer neighbour is padded further; each result must stay."""
    model, inputs = build(name, encoded)
    shape = (12, 37, inputs.tokens.shape[2])
    longer = replace(
        inputs,
        tokens=torch.cat([inputs.tokens, torch.zeros(shape)], dim=1),
        mask=torch.cat([inputs.mask, torch.zeros(12, 37, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(model(longer), model(inputs), atol=1e-5, rtol=0)


@every_model
def test_a_circuit_is_mitigated_alone_as_in_a_batch(name, encoded):
    model, inputs = build(name, encoded)
    together = model(inputs)
    for k in (0, 7):
        alone = model(inputs.select(slice(k, k + 1)))
        # Random weights amplify the rounding of matrix products, which depends on the batch.
        torch.testing.assert_close(alone[0], together[k], atol=3e-5, rtol=0)


@every_model
def test_each_model_reads_exactly_what_it_says(name, encoded):
    """Replaced one by one; the blind floor must be blind, the others must not be."""
    kind, _, example = name.partition("-")
    reads = ARCHITECTURES[kind].examples[example].reads
    model, inputs = build(name, encoded)
    before = model(inputs)
    changes = {
        "tokens": inputs.tokens.roll(1, dims=0),
        "context": inputs.context + 1.0,
        "noisy": inputs.noisy.roll(1, dims=0),
        "readout": inputs.readout * 2,
        "shots": inputs.shots / 10,
    }
    changing = set()
    for field, value in changes.items():
        mask = inputs.mask.roll(1, dims=0) if field == "tokens" else inputs.mask
        after = model(replace(inputs, **{field: value, "mask": mask}))
        if (after - before).abs().max() > 1e-6:
            changing.add(field)
    assert changing == reads
    assert model.reads_circuit == ("tokens" in reads)


def test_the_normalised_correction_scales_outcomes_whatever_was_measured(encoded):
    """c(C, B) * P_noisy with c blind to P_noisy: the log ratio stays when P_noisy changes."""
    model, inputs = build("perceiver-normalised_correction", encoded)
    inputs = replace(inputs, shots=torch.full((12, 1), 1e9))
    other = replace(inputs, noisy=torch.rand(12, 32, generator=torch.manual_seed(1)) + 0.1)
    other = replace(other, noisy=other.noisy / other.noisy.sum(dim=1, keepdim=True))
    inputs = replace(inputs, noisy=other.noisy.flip(0))
    ratios = [torch.log(model(i) / i.noisy) for i in (inputs, other)]
    centred = [r - r.mean(dim=1, keepdim=True) for r in ratios]
    torch.testing.assert_close(*centred, atol=1e-4, rtol=0)
    assert centred[0].abs().max() > 0.01


@pytest.mark.parametrize("name", CORRECTIONS)
def test_the_paper_s_correction_is_a_softmax_of_scaled_frequencies(name, encoded):
    """softmax(c(C, B) * P_noisy): c, read off point masses, gives the result for any P_noisy.

    At a point mass on x the logits are c_x at x and 0 elsewhere.
    """
    model, inputs = build(name, encoded)
    with torch.no_grad():
        c = torch.empty(12, 32)
        for x in range(32):
            noisy = functional.one_hot(torch.full((12,), x), 32).float()
            logarithm = torch.log(model(replace(inputs, noisy=noisy)).double())
            c[:, x] = logarithm[:, x] - logarithm[:, x - 1]
        out = model(inputs)
    torch.testing.assert_close(out, torch.softmax(c * inputs.noisy, 1), atol=1e-6, rtol=1e-3)
    assert (out - 1 / 32).abs().max() > 0.01


@pytest.mark.parametrize("name", ["mlp-prediction", "mlp-token"])
def test_the_mlp_refuses_a_circuit_that_is_too_long(name, encoded):
    model, inputs = build(name, encoded)
    most = model.config.max_length
    width = inputs.tokens.shape[2]
    longer = replace(
        inputs,
        tokens=torch.ones(12, most + 8, width),
        mask=(torch.arange(most + 8) < most + 3).expand(12, -1),
    )
    with pytest.raises(QmendError, match=f"{most + 3} tokens .*max_length={most + 3}"):
        model(longer)


def test_the_blind_model_starts_at_the_noisy_distribution(encoded):
    model, inputs = build("blind_mlp-small", encoded, trained=False)
    smoothed = inputs.noisy + 0.5 / inputs.shots  # half a count for every outcome
    expected = smoothed / smoothed.sum(dim=1, keepdim=True)
    torch.testing.assert_close(model(inputs), expected, atol=1e-6, rtol=1e-5)


# The physics-informed model


def walsh(n: int) -> np.ndarray:
    """(-1)^popcount(s & x), written out."""
    return np.array([[(-1.0) ** (s & x).bit_count() for x in range(2**n)] for s in range(2**n)])


@pytest.mark.parametrize("name", ["physics_perceiver-parity", "physics_perceiver-probability"])
def test_before_training_it_is_the_analytic_inversion(name, encoded, tiny):
    """Written in numpy from the calibration: depolarizing by the gate errors, then readout."""
    model, inputs = build(name, encoded, trained=False)
    part = tiny.rows.select(np.arange(12))
    calibration, layout = part.circuits.calibrations[0], part.circuits.layouts[0]
    errors = np.array([calibration.qubit(q).readout_error for q in layout])
    matrices = np.array([[[1 - e, e], [e, 1 - e]] for e in errors])
    clean = apply_readout(part.circuits.noisy, np.linalg.inv(matrices))
    expected = np.empty((12, 32))
    for k in range(12):
        rate = 0.0
        for gate, a, b, _ in part.circuits.instructions.circuit(k):
            if gate == "rz":
                continue
            qubits = [layout[a]] if b < 0 else [layout[a], layout[b]]
            # Average gate error e = p (d - 1) / d of a depolarizing channel with strength p.
            d = 2 ** len(qubits)
            rate += calibration.gate(gate, qubits).error * d / (d - 1)
        survival = max(np.exp(-rate), 0.02)
        estimate = (clean[k] - (1 - survival) / 32) / survival
        clipped = np.maximum(estimate, 0.5 / 2000)
        expected[k] = clipped / clipped.sum()
    np.testing.assert_allclose(model(inputs).detach().numpy(), expected, atol=2e-5)
    assert np.abs(expected - part.circuits.noisy).max() > 0.02


@pytest.mark.parametrize("seed", range(3))
def test_one_factor_for_each_parity_is_inverted(seed, encoded):
    """A synthetic channel that shrinks every parity by its own factor, mixing nonuniformly."""
    model, inputs = build("physics_perceiver-parity", encoded, trained=False)
    rng = np.random.default_rng(seed)
    h = walsh(5)
    ideal = rng.dirichlet(np.full(32, 2.0), size=12)
    ideal = 0.9 * ideal + 0.1 / 32
    mixing = np.exp(0.3 * rng.normal(size=32))
    mixing /= mixing.sum()
    growth = rng.uniform(-0.5, 0.5, size=32)
    codes = inputs.tokens[..., : len(GATES)].numpy()
    weights = np.array([2.0, 2.0, 2.0, 2.0, 4 / 3, 4 / 3, 4 / 3])
    loss = np.einsum("blg,bl,g->b", codes, inputs.tokens[..., 30].numpy() / 100, weights)
    survival = np.exp(-np.exp(growth) * loss[:, None])
    survival[:, 0] = 1
    noisy = (survival * (ideal @ h) + (1 - survival) * (mixing @ h)) @ h / 32
    with torch.no_grad():
        model.survival.bias.copy_(torch.tensor(growth))
        model.mixing.bias.copy_(torch.tensor(np.log(mixing)))
    synthetic = replace(
        inputs,
        noisy=torch.tensor(noisy, dtype=torch.float32),
        readout=torch.zeros_like(inputs.readout),
        shots=torch.full((12, 1), 1e9),
    )
    out = model(synthetic).detach().numpy()
    assert np.abs(noisy - ideal).sum(axis=1).min() > 0.02
    np.testing.assert_allclose(out, ideal, atol=2e-5)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_readout_is_inverted_exactly(n, random_distributions):
    rng = np.random.default_rng(n)
    ideal = random_distributions(6, n)
    errors = rng.uniform(0, 0.3, size=(6, n))
    noisy = np.stack(
        [
            apply_readout(p, np.array([[[1 - e, e], [e, 1 - e]] for e in row]))
            for p, row in zip(ideal, errors, strict=True)
        ]
    )
    out = invert_readout(torch.tensor(noisy), torch.tensor(errors)).numpy()
    np.testing.assert_allclose(out, ideal, atol=1e-12)


def test_the_walsh_matrix_is_that_of_parities(encoded):
    model, _ = build("physics_perceiver-parity", encoded)
    np.testing.assert_array_equal(model.walsh.numpy(), walsh(5))
    assert "walsh" not in model.state_dict()


def test_weights_are_given_by_torchs_seed_alone(encoded):
    first, _ = build("physics_perceiver-parity", encoded)
    again, _ = build("physics_perceiver-parity", encoded)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parameters_are_counted(encoded):
    model, _ = build("blind_mlp-small", encoded)
    assert count_parameters(model) == (32 * 24 + 24) + (24 * 24 + 24) + (24 * 32 + 32)
    model.delta[0].weight.requires_grad_(False)
    assert count_parameters(model) == 24 + (24 * 24 + 24) + (24 * 32 + 32)


def test_an_unknown_architecture_names_the_nearest():
    with pytest.raises(QmendError, match=r"'perciever'. Did you mean 'perceiver'\?"):
        model_config({"name": "perciever"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "perceiver", "width": 30}, r"width \(30\) must be a multiple of heads \(4\)"),
        ({"name": "perceiver", "dropout": 1.0}, "dropout"),
        ({"name": "blind_mlp", "widht": 3}, "widht"),
        ({"name": "tf", "width": 30}, r"width \(30\) must be a multiple of heads \(4\)"),
        ({"name": "tfm", "head": "correction"}, "head"),
        ({"name": "rnn", "cell": "elman"}, "cell"),
        ({"name": "physics_perceiver", "encoding": "paper"}, "encoding"),
    ],
)
def test_bad_sizes_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        model_config(fields)


@pytest.mark.parametrize(
    ("part", "parameter"),
    [
        ("loss", "log_weight"),
        ("mixing", "mixing.bias"),
        ("encoder", "encoder.latents"),
        ("correction", "delta.0.bias"),
        ("readout", ""),
    ],
)
def test_a_part_taken_out_of_the_physics_perceiver_has_no_effect(part, parameter, encoded):
    for without in ((), (part,)):
        model, inputs = build("physics_perceiver-parity", encoded)
        assert isinstance(model, PhysicsPerceiver)
        model.without = frozenset(without)
        with torch.no_grad():
            before = model(inputs)
            if parameter:
                value = model.get_parameter(parameter)
                value.add_(torch.randn_like(value))
            else:
                inputs = replace(inputs, readout=inputs.readout + 0.05)
            after = model(inputs)
        assert torch.allclose(after.sum(1), torch.ones(len(inputs)), atol=1e-5)
        assert torch.allclose(before, after, atol=1e-6) == bool(without), without
