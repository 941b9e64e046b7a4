"""Every architecture: a distribution out, whatever comes in; and what each one is equal to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from qmend.circuits.instructions import GATES
from qmend.datasets.encodings import build_encoding
from qmend.datasets.tensors import as_tensors
from qmend.models.attention import Attention, PerceiverEncoder, SelfAttentionBlock
from qmend.models.base import (
    Architecture,
    Dimensions,
    Inputs,
    architectures,
    build_model,
    count_parameters,
    log_floored,
    model_config,
)
from qmend.models.physics_perceiver import invert_readout
from qmend.simulation.readout import apply_readout
from qmend.types import QmendError

SIZES = {"latents": 4, "width": 16, "depth": 1, "cross_heads": 2, "self_heads": 4}
CONFIGS = {
    "blind_mlp": {"name": "blind_mlp", "width": 24},
    "perceiver-prediction": {"name": "perceiver", **SIZES, "output": "prediction"},
    "perceiver-correction": {"name": "perceiver", **SIZES, "output": "correction"},
    "physics-parity": {"name": "physics_perceiver", **SIZES, "basis": "parity"},
    "physics-probability": {"name": "physics_perceiver", **SIZES, "basis": "probability"},
}
every_model = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture(scope="module")
def encoded(tiny) -> dict[str, Inputs]:
    """Encoding -> inputs of 12 real circuits."""
    out = {}
    for name in ("paper", "token"):
        encoding = build_encoding(name).fit(tiny.part("train").circuits)
        out[name] = Inputs(**as_tensors(encoding(tiny.rows.select(np.arange(12)).circuits)))
    return out


def build(
    name: str, encoded: dict[str, Inputs], trained: bool = True
) -> tuple[Architecture, Inputs]:
    """A network in evaluation mode with its inputs.

    ``trained`` moves all weights away from their start, where some layers are zero and many
    outputs could not depend on anything.
    """
    config = model_config(CONFIGS[name])
    inputs = encoded[config.encoding]
    torch.manual_seed(0)
    model = build_model(config, Dimensions(5, inputs.tokens.shape[2], inputs.context.shape[1]))
    if trained:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval(), inputs


def test_all_architectures_are_tested():
    assert {c["name"] for c in CONFIGS.values()} == set(architectures())


def point_mass(inputs: Inputs) -> Inputs:
    return replace(inputs, noisy=functional.one_hot(torch.arange(12) * 2, 32).float())


def uniform(inputs: Inputs) -> Inputs:
    return replace(inputs, noisy=torch.full((12, 32), 1 / 32))


def few_shots(inputs: Inputs) -> Inputs:
    return replace(inputs, shots=torch.ones(12, 1))


def many_shots(inputs: Inputs) -> Inputs:
    return replace(point_mass(inputs), shots=torch.full((12, 1), 1e9))


def clipped_context(inputs: Inputs) -> Inputs:
    return replace(inputs, context=torch.full_like(inputs.context, 10.0))


def strong_readout(inputs: Inputs) -> Inputs:
    return replace(point_mass(inputs), readout=torch.full((12, 5), 0.4))


def coin_readout(inputs: Inputs) -> Inputs:
    """A qubit whose outcome says nothing, as snapshots report for a broken one."""
    readout = inputs.readout.clone()
    readout[:, 2] = 0.5
    return replace(inputs, readout=readout)


def hopeless_gates(inputs: Inputs) -> Inputs:
    """Tokens twenty times their size: nothing of the signal survives."""
    return replace(inputs, tokens=inputs.tokens * 20)


def empty_circuit(inputs: Inputs) -> Inputs:
    return replace(
        inputs, tokens=torch.zeros_like(inputs.tokens), mask=torch.zeros_like(inputs.mask)
    )


@every_model
@pytest.mark.parametrize(
    "change",
    [
        lambda inputs: inputs,
        point_mass,
        uniform,
        few_shots,
        many_shots,
        clipped_context,
        strong_readout,
        coin_readout,
        hopeless_gates,
        empty_circuit,
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
        alone = model(Inputs(**{f: getattr(inputs, f)[[k]] for f in Inputs.__dataclass_fields__}))
        torch.testing.assert_close(alone[0], together[k], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("blind_mlp", {"noisy", "shots"}),
        ("perceiver-prediction", {"tokens", "context", "noisy"}),
        ("perceiver-correction", {"tokens", "context", "noisy", "shots"}),
        ("physics-parity", {"tokens", "context", "noisy", "readout", "shots"}),
        ("physics-probability", {"tokens", "context", "noisy", "readout", "shots"}),
    ],
)
def test_each_model_reads_exactly_what_it_may(name, seen, encoded):
    """Replaced one by one; the blind floor must be blind, the others must not be."""
    model, inputs = build(name, encoded)
    before = model(inputs)
    changes = {
        "tokens": inputs.tokens.roll(1, dims=0),
        "context": inputs.context + 1.0,
        "noisy": inputs.noisy.roll(1, dims=0),
        "readout": inputs.readout * 2,
        "shots": inputs.shots / 10,
    }
    found = set()
    for field, value in changes.items():
        mask = inputs.mask.roll(1, dims=0) if field == "tokens" else inputs.mask
        after = model(replace(inputs, **{field: value, "mask": mask}))
        if (after - before).abs().max() > 1e-6:
            found.add(field)
    assert found == seen
    assert model.reads_circuit == ("tokens" in seen)


def test_the_correction_head_scales_outcomes_whatever_was_measured(encoded):
    """c(C, B) * P_noisy with c blind to P_noisy: the log ratio stays when P_noisy changes."""
    model, inputs = build("perceiver-correction", encoded)
    inputs = replace(inputs, shots=torch.full((12, 1), 1e9))
    other = replace(inputs, noisy=torch.rand(12, 32, generator=torch.manual_seed(1)) + 0.1)
    other = replace(other, noisy=other.noisy / other.noisy.sum(dim=1, keepdim=True))
    inputs = replace(inputs, noisy=other.noisy.flip(0))
    ratios = [torch.log(model(i) / i.noisy) for i in (inputs, other)]
    centred = [r - r.mean(dim=1, keepdim=True) for r in ratios]
    torch.testing.assert_close(*centred, atol=1e-4, rtol=0)
    assert centred[0].abs().max() > 0.01


def test_the_blind_model_starts_at_the_noisy_distribution(encoded):
    model, inputs = build("blind_mlp", encoded, trained=False)
    smoothed = inputs.noisy + 0.5 / inputs.shots  # half a count for every outcome
    expected = smoothed / smoothed.sum(dim=1, keepdim=True)
    torch.testing.assert_close(model(inputs), expected, atol=1e-6, rtol=1e-5)


# Attention


@pytest.mark.parametrize(("width", "source"), [(16, 16), (24, 10)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torchs_with_the_same_weights(width, source, masked):
    torch.manual_seed(1)
    ours = Attention(width, source, heads=4, dropout=0.0)
    theirs = nn.MultiheadAttention(width, 4, kdim=source, vdim=source, batch_first=True)
    key, value = ours.key_value.weight.chunk(2)
    with torch.no_grad():
        if width == source:
            theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, key, value]))
        else:
            theirs.q_proj_weight.copy_(ours.query.weight)
            theirs.k_proj_weight.copy_(key)
            theirs.v_proj_weight.copy_(value)
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, s = torch.randn(3, 5, width), torch.randn(3, 7, source)
    mask = torch.ones(3, 7, dtype=torch.bool)
    if masked:
        mask[0, 4:], mask[2, :3] = False, False
    expected, _ = theirs(x, s, s, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, s, mask), expected, atol=1e-6, rtol=1e-5)
    if not masked:
        torch.testing.assert_close(ours(x, s), expected, atol=1e-6, rtol=1e-5)


def test_attention_is_softmax_of_scaled_products():
    """One head, written out."""
    torch.manual_seed(2)
    block = Attention(6, 6, heads=1, dropout=0.0)
    x, s = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    key, value = block.key_value(s).split(6, dim=-1)
    weights = torch.softmax(block.query(x) @ key.transpose(1, 2) / 6**0.5, dim=-1)
    torch.testing.assert_close(block(x, s), block.out(weights @ value), atol=1e-6, rtol=1e-5)


def test_a_self_attention_block_equals_torchs_pre_norm_layer():
    torch.manual_seed(3)
    block = SelfAttentionBlock(16, 4, 0.0)
    layer = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    with torch.no_grad():
        weights = [block.attention.query.weight, block.attention.key_value.weight]
        layer.self_attn.in_proj_weight.copy_(torch.cat(weights))
        biases = [block.attention.query.bias, block.attention.key_value.bias]
        layer.self_attn.in_proj_bias.copy_(torch.cat(biases))
        layer.self_attn.out_proj.load_state_dict(block.attention.out.state_dict())
        layer.norm1.load_state_dict(block.norm.state_dict())
        layer.norm2.load_state_dict(block.feed_forward[0].state_dict())
        layer.linear1.load_state_dict(block.feed_forward[1].state_dict())
        layer.linear2.load_state_dict(block.feed_forward[4].state_dict())
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(block(x), layer(x), atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training_only():
    torch.manual_seed(4)
    block = Attention(8, 8, heads=2, dropout=0.5)
    x = torch.randn(2, 3, 8)
    block.train()
    assert not torch.equal(block(x, x), block(x, x))
    block.eval()
    assert torch.equal(block(x, x), block(x, x))


def test_the_encoder_knows_the_order_of_tokens_and_takes_any_length():
    torch.manual_seed(5)
    encoder = PerceiverEncoder(6, 3, 8, 1, 2, 2, 0.0, max_length=10).eval()
    with torch.no_grad():
        encoder.position.mul_(20)
    tokens, mask = torch.randn(2, 30, 6), torch.ones(2, 30, dtype=torch.bool)
    extra = torch.randn(2, 1, 8)
    out = encoder(tokens, mask, extra)
    assert out.shape == (2, 3, 8)
    swapped = tokens.clone()
    swapped[:, [0, 5]] = tokens[:, [5, 0]]
    assert (encoder(swapped, mask, extra) - out).abs().max() > 1e-3
    beyond = tokens.clone()
    beyond[:, [15, 25]] = tokens[:, [25, 15]]  # these share the last position
    torch.testing.assert_close(encoder(beyond, mask, extra), out, atol=1e-5, rtol=1e-5)


# The physics-informed model


def walsh(n: int) -> np.ndarray:
    """(-1)^popcount(s & x), written out."""
    return np.array([[(-1.0) ** (s & x).bit_count() for x in range(2**n)] for s in range(2**n)])


@pytest.mark.parametrize("name", ["physics-parity", "physics-probability"])
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
    model, inputs = build("physics-parity", encoded, trained=False)
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
    model, _ = build("physics-parity", encoded)
    np.testing.assert_array_equal(model.walsh.numpy(), walsh(5))
    assert "walsh" not in model.state_dict()


def test_weights_are_given_by_torchs_seed_alone(encoded):
    first, _ = build("physics-parity", encoded)
    again, _ = build("physics-parity", encoded)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parameters_are_counted(encoded):
    model, _ = build("blind_mlp", encoded)
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
        ({"name": "physics_perceiver", "encoding": "paper"}, "encoding"),
    ],
)
def test_bad_sizes_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        model_config(fields)
