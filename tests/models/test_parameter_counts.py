"""Parameters of each architecture: the formula derived by hand, and what the configs claim."""

import re

import pytest
import torch
import yaml

from qmend.config.paths import conf_dir
from qmend.encodings import Batch
from qmend.models.base import (
    ARCHITECTURES,
    Architecture,
    Dimensions,
    build_model,
    count_parameters,
    model_config,
)

#: Five qubits in the paper's encoding and in the project's own.
DIMENSIONS = {
    "paper": Dimensions(5, 25, 101),
    "paths": Dimensions(5, 12, 3),
    "token": Dimensions(5, 31, 15),
}
T, C, P = 25, 101, 32


def on_meta(**fields: object) -> Architecture:
    """A network without memory for its weights."""
    config = model_config(fields)
    with torch.device("meta"):
        return build_model(config, DIMENSIONS[config.encoding]).eval()


def linear(before: int, after: int) -> int:
    return before * after + after


def attention(w: int) -> int:
    """Query, key, value and output, each with a bias."""
    return 4 * linear(w, w)


def feed_forward(w: int) -> int:
    """A norm's gain and shift, then w -> 2 w -> w."""
    return 2 * w + linear(w, 2 * w) + linear(2 * w, w)


def readout(w: int) -> int:
    return linear(w, 2 * w) + linear(2 * w, P)


def self_attention_block(w: int) -> int:
    return 2 * w + attention(w) + feed_forward(w)


def decoder_block(w: int) -> int:
    return 4 * w + 2 * attention(w) + feed_forward(w)


def mlp(w: int, depth: int, length: int, noisy: bool) -> int:
    first = linear(T * length + C + (P if noisy else 0), w)
    return first + (depth - 1) * linear(w, w) + linear(w, P)


def joined(w: int, noisy: bool) -> int:
    return linear(T + C + (P if noisy else 0), w)


def rnn(w: int, depth: int, gates: int, noisy: bool) -> int:
    """Each gate: input and state weights, and torch's two biases."""
    return joined(w, noisy) + depth * gates * 2 * linear(w, w) + readout(w)


def tf(w: int, depth: int, noisy: bool) -> int:
    return joined(w, noisy) + depth * self_attention_block(w) + 2 * w + readout(w)


def outcome_tokens(w: int) -> int:
    return linear(1 + 5, w) + 2 * w


def tfm(w: int, depth: int) -> int:
    blocks = depth * decoder_block(w)
    return joined(w, False) + outcome_tokens(w) + blocks + 2 * w + readout(w)


def noisy_enc(w: int, depth: int) -> int:
    value = linear(w, 2 * w) + 2 * w
    norms = 2 * 2 * w
    return outcome_tokens(w) + joined(w, False) + depth * decoder_block(w) + norms + value


def perceiver(w: int, depth: int, latents: int, noisy: bool = True) -> int:
    embeddings = linear(T, w) + linear(C, w) + (linear(P, w) if noisy else 0)
    learned = (512 + latents) * w
    cross = 2 * 2 * w + attention(w) + feed_forward(w)
    return embeddings + learned + cross + depth * self_attention_block(w) + 2 * w + readout(w)


def perceiver_polynomial(w: int, depth: int, latents: int) -> int:
    """The same, multiplied out: a slip in a shared term above would show here."""
    return (10 + 8 * depth) * w * w + (754 + latents + 11 * depth) * w + 32


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "mlp", "width": 64, "depth": 2, "max_length": 256}, mlp(64, 2, 256, True)),
        (
            {"name": "mlp", "width": 10, "depth": 3, "max_length": 7, "head": "correction"},
            mlp(10, 3, 7, False),
        ),
        ({"name": "rnn", "width": 96, "depth": 2}, rnn(96, 2, 3, True)),
        (
            {"name": "rnn", "width": 16, "depth": 3, "cell": "lstm", "head": "correction"},
            rnn(16, 3, 4, False),
        ),
        ({"name": "tf", "width": 64, "depth": 2}, tf(64, 2, True)),
        ({"name": "tf", "width": 32, "depth": 1, "head": "correction"}, tf(32, 1, False)),
        ({"name": "tfm", "width": 64, "depth": 2}, tfm(64, 2)),
        ({"name": "noisy_enc", "width": 64, "depth": 2}, noisy_enc(64, 2)),
        (
            {"name": "perceiver", "width": 64, "depth": 2, "latents": 16},
            perceiver(64, 2, 16),
        ),
        (
            {"name": "perceiver", "width": 64, "depth": 2, "head": "correction"},
            perceiver(64, 2, 16, noisy=False),
        ),
        (
            {"name": "perceiver", "width": 1024, "depth": 4, "latents": 256},
            perceiver(1024, 4, 256),
        ),
        (
            {"name": "perceiver", "width": 768, "depth": 5, "latents": 256},
            perceiver_polynomial(768, 5, 256),
        ),
    ],
)
def test_parameters_are_those_of_the_formula(fields, expected):
    assert count_parameters(on_meta(**fields)) == expected


CONFIGS = {path.stem: path for path in sorted((conf_dir() / "model").glob("*.yaml"))}
COUNTS = {
    name: int(number[1].replace(",", ""))
    for name, path in CONFIGS.items()
    if (number := re.search(r"([\d,]+)\s+(?:#\s+)?parameters", path.read_text()))
}


def test_some_configs_name_their_number_of_parameters():
    assert len(COUNTS) >= 5


@pytest.mark.parametrize("name", COUNTS)
def test_a_config_s_head_names_the_true_number(name):
    model = on_meta(**yaml.safe_load(CONFIGS[name].read_text()))
    assert COUNTS[name] == count_parameters(model)


def test_small_configs_are_small_and_the_paper_s_are_not():
    counts = {
        name: count_parameters(on_meta(**yaml.safe_load(path.read_text())))
        for name, path in CONFIGS.items()
    }
    for name, count in counts.items():
        assert (count > 20_000_000) == ("_paper_" in name)
        assert count < 500_000 or "_paper_" in name
    assert {yaml.safe_load(p.read_text())["name"] for p in CONFIGS.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", [name for name in CONFIGS if "_paper_" in name])
def test_paper_scale_networks_take_a_batch(name):
    """At full size on the meta device: every shape is checked, nothing is computed."""
    model = on_meta(**yaml.safe_load(CONFIGS[name].read_text()))
    with torch.device("meta"):
        inputs = Batch(
            tokens=torch.empty(300, 128, T),
            mask=torch.ones(300, 128, dtype=torch.bool),
            context=torch.empty(300, C),
            noisy=torch.empty(300, P),
            readout=torch.empty(300, 5),
            shots=torch.empty(300, 1),
        )
    out = model(inputs)
    assert out.is_meta
    assert out.shape == (300, P)
