"""A guard's probability of harm, its threshold and its promise, its file, its use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from safetensors.torch import save_file
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from qmend.datasets.circuits import CircuitBatch
from qmend.encodings import ENCODINGS
from qmend.files import file_sha256
from qmend.mitigation.base import KnownCircuits
from qmend.mitigation.counts import CountsMitigator
from qmend.mitigation.guard import GUARD, SIGNALS, Guard, HarmScore
from qmend.mitigation.guard_fitting import choose_threshold, fit_score
from qmend.mitigation.guard_signals import log_gain, read_signals
from qmend.mitigation.learned import GuardedMitigator, LearnedMitigator
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.noise.paths import FEATURES
from qmend.types import QmendError

NAMES = ("step", "agreement")
PROMISE = {"harmed_pct": 2.0, "confidence_pct": 90.0, "references": [0, 1, 3, 9]}


def score(weights: tuple[float, ...] = (1.0, -0.5, 0.25), intercept: float = 0.0) -> HarmScore:
    terms = (("step",), ("agreement",), ("step", "agreement"))
    mean, scale = np.array([-1.0, 0.5]), np.array([1.0, 2.0])
    return HarmScore(NAMES, mean, scale, terms, np.array(weights), intercept)


def draw(count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Signals, true probabilities of harm, and harm."""
    rng = np.random.default_rng(seed)
    signals = {"step": rng.normal(-1, 1, count), "agreement": rng.normal(0.5, 2, count)}
    harm = expit(-4 + 2 * (signals["step"] + 1) + 0.8 * (signals["agreement"] - 0.5))
    return signals, harm, rng.random(count) < harm


# The probability of harm


def test_a_fit_finds_the_probability_that_harm_was_drawn_with():
    signals, _, harmed = draw(20_000, 0)
    fresh, true, _ = draw(2_000, 1)
    fitted = fit_score(signals, harmed, NAMES, 2, 1.0)
    assert np.abs(fitted(fresh) - true).mean() < 0.01


def test_a_fit_is_scikit_learn_s():
    signals, _, harmed = draw(500, 2)
    fresh, _, _ = draw(50, 3)
    columns = [np.column_stack([each[name] for name in NAMES]) for each in (signals, fresh)]
    steps = (StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler())
    reference = make_pipeline(*steps, LogisticRegression(C=0.1, max_iter=1000))
    reference.fit(columns[0], harmed)
    own = fit_score(signals, harmed, NAMES, 2, 10.0)(fresh)
    np.testing.assert_allclose(own, reference.predict_proba(columns[1])[:, 1], atol=1e-5)


@pytest.mark.parametrize("harmed", [True, False])
def test_harm_of_all_or_none_is_as_likely_everywhere(harmed):
    """A guard then applies the network everywhere, or there is none."""
    signals, _, _ = draw(200, 0)
    every = np.full(200, harmed)
    harm = fit_score(signals, every, NAMES, 2, 1.0)(signals)
    assert np.ptp(harm) == 0
    assert abs(harm[0] - harmed) < 0.01
    threshold = choose_threshold(harm, every, harm, every, 0.02, 0.9)
    assert threshold is None if harmed else (harm <= threshold).all()


# The threshold


def test_the_promise_holds_as_often_as_it_says():
    """In 100 draws of 600 circuits, the true share of harm exceeds the promised one in 10 %.

    It does so in half of them where the observed share alone decides.
    """
    signals, _, harmed = draw(2_000, 0)
    fitted = fit_score(signals, harmed, NAMES, 1, 1.0)
    learned, (population, true, _) = fitted(signals), draw(50_000, 1)
    everywhere = fitted(population)
    broken = found = naive = 0
    for seed in range(100):
        few, _, harmed_few = draw(600, 100 + seed)
        harm = fitted(few)
        threshold = choose_threshold(learned, harmed, harm, harmed_few, 0.03, 0.9)
        order = np.sort(harm)
        observed = np.cumsum(harmed_few[np.argsort(harm)]) / np.arange(1, 601)
        naive += true[everywhere <= order[observed <= 0.03][-1]].mean() > 0.03
        if threshold is not None:
            found += 1
            broken += true[everywhere <= threshold].mean() > 0.03
    assert found > 90
    assert broken <= 10 + 2 * np.sqrt(100 * 0.1 * 0.9)
    assert naive > 30


def test_more_circuits_let_a_guard_apply_more():
    signals, _, harmed = draw(2_000, 0)
    fitted = fit_score(signals, harmed, NAMES, 1, 1.0)
    shares = []
    for count in (300, 20_000):
        others, _, harmed_others = draw(count, 7)
        harm = fitted(others)
        threshold = choose_threshold(fitted(signals), harmed, harm, harmed_others, 0.03, 0.9)
        assert threshold is not None
        shares.append((harm <= threshold).mean())
    assert shares[0] < shares[1]


def test_no_threshold_where_harm_is_everywhere_and_all_where_it_is_nowhere():
    signals, _, harmed = draw(1_000, 0)
    harm = fit_score(signals, harmed, NAMES, 1, 1.0)(signals)
    always, never = np.ones(1_000, bool), np.zeros(1_000, bool)
    assert choose_threshold(harm, harmed, harm, always, 0.5, 0.9) is None
    assert choose_threshold(harm, never, harm, never, 0.5, 0.9) == pytest.approx(harm.max())


# The file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(3)}, path)
    return path


def guard_of(weights: Path, threshold: float = 0.25) -> Guard:
    return Guard(score(), threshold, file_sha256(weights), PROMISE)


def test_a_guard_is_read_as_it_was_written(weights):
    assert Guard.beside(weights) is None
    written = guard_of(weights)
    written.write(weights.parent)
    read = Guard.beside(weights)
    signals, _, _ = draw(20, 0)
    np.testing.assert_array_equal(read.score(signals), written.score(signals))
    assert (read.threshold, read.promise, read.sha) == (0.25, PROMISE, written.sha)
    assert "with 0, 1, 3 or 9 references, with 90 % confidence at most 2 %" in read.sentence
    assert replace(written, threshold=0.3).sha != written.sha


def _other_weights(plain: dict) -> None:
    plain["weights_sha256"] = "0" * 64


def _without_weight(plain: dict) -> None:
    del plain["score"]["terms"][0]["weight"]


def _unknown_signal(plain: dict) -> None:
    plain["score"]["terms"][0]["product"] = ["nothing"]


def _not_a_number(plain: dict) -> None:
    plain["score"]["intercept"] = float("nan")


def _no_threshold(plain: dict) -> None:
    plain["threshold"] = float("nan")


def _no_signals(plain: dict) -> None:
    plain["score"]["signals"] = list(plain["score"]["signals"])


def _no_share(plain: dict) -> None:
    plain["promise"]["harmed_pct"] = float("nan")


def _newer(plain: dict) -> None:
    plain["guard_version"] = 99


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_other_weights, "belongs to other weights"),
        (_without_weight, "damaged"),
        (_unknown_signal, "damaged"),
        (_not_a_number, "damaged"),
        (_no_signals, "damaged"),
        (_no_threshold, "no probability"),
        (_no_share, "promises shares"),
        (_newer, "guard version 99"),
    ],
)
def test_a_guard_that_does_not_fit_is_refused(weights, damage: Callable[[dict], None], words):
    guard_of(weights).write(weights.parent)
    path = weights.parent / GUARD
    plain = json.loads(path.read_text())
    damage(plain)
    path.write_text(json.dumps(plain))
    with pytest.raises(QmendError, match=f"{words}.*qmend guard"):
        Guard.beside(weights)


# Signals and use


def untrained(tiny, encoding: str, numbers: int) -> TrainedModel:
    """An operator as it starts: the inverse of the model of parities, filtered."""
    torch.manual_seed(0)
    sizes = {"name": "walsh_operator", "channels": 4, "blocks": 1, "encoding": encoding}
    config, dimensions = model_config(sizes), Dimensions(5, len(FEATURES), 3, numbers)
    fitted = ENCODINGS[encoding]().fit(tiny.rows.circuits)
    return TrainedModel(build_model(config, dimensions), config, dimensions, fitted)


@pytest.fixture(scope="module")
def model(tiny) -> TrainedModel:
    return untrained(tiny, "device_paths", 10)


@pytest.fixture(scope="module")
def circuits(tiny) -> CircuitBatch:
    return tiny.rows.circuits


def test_signals_are_those_listed_and_finite(model, circuits):
    mitigated, signals = read_signals(model, circuits)
    assert tuple(signals) == SIGNALS
    assert all(np.isfinite(values).all() for values in signals.values())
    assert all(values.shape == (len(circuits),) for values in signals.values())
    np.testing.assert_array_equal(mitigated, model.mitigate(circuits))


def test_a_network_that_inverts_the_model_agrees_with_it(model, circuits, tiny):
    """Without shot noise nothing is filtered, so that its output is the path fit's."""
    exact = replace(circuits, noisy=tiny.rows.noisy_exact, shots=np.full(len(circuits), 10**9))
    few = replace(circuits, shots=np.full(len(circuits), 100))
    exactly, roughly = (read_signals(model, each)[1] for each in (exact, few))
    for name in ("agreement", "residual"):
        assert np.median(exactly[name]) < -0.5
        assert np.median(roughly[name]) > 0


def test_doubt_follows_the_deviations_and_loss_the_means_of_device_numbers(model, circuits):
    encoded = model.encoding(circuits)
    wider, stronger = encoded.device.clone(), encoded.device.clone()
    wider[:, 4:8] *= 3
    stronger[:, :3] += np.log(2)
    plain, wide, strong = (
        read_signals(model, circuits, replace(encoded, device=each))[1]
        for each in (encoded.device, wider, stronger)
    )
    assert np.median(wide["doubt"] - plain["doubt"]) == pytest.approx(np.log(3), abs=0.3)
    assert (strong["loss"] > plain["loss"]).all()
    np.testing.assert_array_equal(plain["references"], 0)
    np.testing.assert_array_equal(plain["gain"], 0)


def test_gain_is_negative_where_the_error_falls():
    ideal, noisy = np.array([[1.0, 0.0]] * 2), np.array([[0.8, 0.2]] * 2)
    mitigated = np.array([[0.9, 0.1], [0.6, 0.4]])
    better, worse = log_gain(ideal, noisy, mitigated)
    assert better == pytest.approx(np.log(0.21 / 0.41))
    assert worse == pytest.approx(np.log(0.81 / 0.41))


def test_an_encoding_without_numbers_of_the_device_can_t_be_guarded(tiny):
    plain = LearnedMitigator(untrained(tiny, "paths", 0))
    with pytest.raises(QmendError, match=r"paths.*model\.encoding=device_paths"):
        GuardedMitigator(plain, Guard(score(), 0.5, "", PROMISE))


def guarded(model: TrainedModel, threshold: float) -> GuardedMitigator:
    return GuardedMitigator(LearnedMitigator(model), Guard(score(), threshold, "", PROMISE))


def test_references_tell_a_guard_how_the_network_does_on_them(model, tiny):
    rows = tiny.rows
    known = KnownCircuits(rows.circuits.select(np.arange(3)), rows.ideal[:3])
    others = rows.circuits.select(np.arange(3, 8))
    told = guarded(model, 0.5).with_references(others, [known])
    plain = LearnedMitigator(model).with_references(others, [known])
    np.testing.assert_array_equal(told.numbers, plain.numbers)
    own = replace(known.circuits, numbers=told.numbers[:3])
    expected = log_gain(known.ideal, own.noisy, model.mitigate(own)).mean()
    np.testing.assert_allclose(told.gains, expected)
    np.testing.assert_array_equal(read_signals(model, told)[1]["gain"], told.gains)


def test_a_guarded_network_gives_the_input_back_where_harm_is_likely(model, circuits):
    _, signals = read_signals(model, circuits)
    threshold = float(np.median(score()(signals)))
    applied = score()(signals) <= threshold
    mitigated = guarded(model, threshold).mitigate(circuits)
    assert 0 < applied.sum() < len(circuits)
    np.testing.assert_array_equal(mitigated[~applied], circuits.noisy[~applied])
    np.testing.assert_array_equal(mitigated[applied], model.mitigate(circuits)[applied])
    np.testing.assert_array_equal(guarded(model, 0.0).mitigate(circuits), circuits.noisy)


def test_whether_a_guarded_network_simulates_is_its_own(model, circuits):
    """A guard that always abstains would hide it."""
    first, others = circuits.select(np.arange(8)), circuits.select(np.arange(8, 16))
    flips = np.zeros(8, dtype=np.int64)
    (own,) = LearnedMitigator(model).mitigate_others([first], others, flips)
    (hidden,) = guarded(model, 0.0).mitigate_others([first], others, flips)
    np.testing.assert_array_equal(own, hidden)


def test_counts_say_why_they_were_given_back(model, tiny):
    ghz = QuantumCircuit(2)
    ghz.h(0)
    ghz.cx(0, 1)
    ghz.measure_all()
    counts = {"00": 480, "11": 440, "01": 50, "10": 30}
    measured = np.array([480, 50, 30, 440]) / 1000  # index 1: bit 0 is 1, written "01"
    back, mitigated = (
        CountsMitigator(guarded(model, threshold)).mitigate(counts, ghz, "FakeAlgiers")
        for threshold in (0.0, 1.0)
    )
    np.testing.assert_allclose(back.probabilities, measured, atol=1e-12)
    assert "above 0.000" in back.abstained
    assert mitigated.abstained == ""
    assert np.abs(mitigated.probabilities - measured).max() > 0.005
