"""A guard: the probability that a network's output harms, and when to abstain.

An output of a network harms where its L1RC is above :data:`qmend.metrics.HARM_THRESHOLD`. With the
standardised signals z of :mod:`qmend.mitigation.guard_signals`,

    P(harm) = 1 / (1 + exp(-(b + sum over terms t: w_t prod over i in t: z_i))),

and the guard abstains, which gives the input back, where that is above a threshold. It is plain
JSON beside the network's weights, and belongs to these alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qmend.files import file_sha256, write_text
from qmend.strict_json import parse_json
from qmend.types import FloatArray, QmendError

#: Beside a checkpoint's files.
GUARD = "guard.json"
#: Rises with every change of the format or of a signal's meaning; another version is refused.
GUARD_VERSION = 1
#: Names of the signals.
SIGNALS = (
    "step",
    "path_step",
    "agreement",
    "residual",
    "loss",
    "doubt",
    "allowed",
    "peak",
    "sharpness",
    "shots",
    "references",
    "measured",
    "gain",
)
#: Logarithms of the odds of harm beyond which it counts as certain.
_CERTAIN = 50.0


@dataclass(frozen=True)
class HarmScore:
    """The probability of harm as a function of signals.

    Attributes:
        signals: names of F of them.
        mean, scale: (F,) z = (signal - mean) / scale.
        terms: signals whose product each is a term.
        weights: (T,) of the terms; ``intercept``: b.

    Raises:
        QmendError: if shapes differ, a name is unknown, or a value is not finite.
    """

    signals: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    terms: tuple[tuple[str, ...], ...]
    weights: FloatArray
    intercept: float

    def __post_init__(self) -> None:
        shapes = (self.mean.shape, self.scale.shape, self.weights.shape)
        size = (len(self.signals),)
        unknown = {name for term in self.terms for name in term} - set(self.signals)
        unknown |= set(self.signals) - set(SIGNALS)
        numbers = np.concatenate([self.mean, self.scale, self.weights, [self.intercept]])
        if (
            unknown
            or shapes != (size, size, (len(self.terms),))
            or not np.isfinite(numbers).all()
            or not (self.scale > 0).all()
        ):
            raise QmendError(
                "A guard's signals, terms and numbers do not belong together; make it again with "
                "`qmend guard`."
            )

    def __call__(self, signals: Mapping[str, FloatArray]) -> FloatArray:
        """(N,) probability of harm."""
        odds = self.intercept + self.products(signals) @ self.weights
        harm: FloatArray = 1 / (1 + np.exp(-np.clip(odds, -_CERTAIN, _CERTAIN)))
        return harm

    def products(self, signals: Mapping[str, FloatArray]) -> FloatArray:
        """(N, T) of the standardised signals of each term."""
        z = {
            name: (signals[name] - mean) / scale
            for name, mean, scale in zip(self.signals, self.mean, self.scale, strict=True)
        }
        products = np.ones((len(next(iter(signals.values()))), len(self.terms)))
        for product, term in zip(products.T, self.terms, strict=True):
            for name in term:
                product *= z[name]
        return products


@dataclass(frozen=True)
class Guard:
    """A score with its threshold, for one network.

    Attributes:
        threshold: probability of harm above which it abstains.
        weights_sha256: of the network's file of weights.
        promise: plain values: what holds for simulated worlds, and how it was found.
    """

    score: HarmScore
    threshold: float
    weights_sha256: str
    promise: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """The promise in words."""
        *most, last = (f"{count:d}" for count in self.promise["references"])
        counts = f"{', '.join(most)} or {last}" if most else last
        return (
            f"In simulated worlds with {counts} references, with "
            f"{self.promise['confidence_pct']:g} % confidence at most "
            f"{self.promise['harmed_pct']:g} % of the circuits that the guard applies its network "
            "to are harmed."
        )

    @property
    def sha(self) -> str:
        """SHA-256 (first 16 hex digits) of what it decides by."""
        plain = self.plain()
        del plain["promise"]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]

    def plain(self) -> dict[str, Any]:
        """Return the guard as plain values."""
        score = self.score
        return {
            "guard_version": GUARD_VERSION,
            "weights_sha256": self.weights_sha256,
            "threshold": self.threshold,
            "promise": dict(self.promise),
            "score": {
                "intercept": score.intercept,
                "signals": {
                    name: {"mean": mean, "scale": scale}
                    for name, mean, scale in zip(
                        score.signals, score.mean.tolist(), score.scale.tolist(), strict=True
                    )
                },
                "terms": [
                    {"product": term, "weight": weight}
                    for term, weight in zip(score.terms, score.weights.tolist(), strict=True)
                ],
            },
        }

    def write(self, folder: Path) -> None:
        """Write the guard beside a checkpoint."""
        write_text(folder / GUARD, json.dumps(self.plain(), indent=1) + "\n")

    @staticmethod
    def beside(weights: Path) -> Guard | None:
        """Read the guard beside a network's file of weights; None if there is none.

        Raises:
            QmendError: if it is damaged, of another version, or of other weights.
        """
        path = weights.parent / GUARD
        if not path.exists():
            return None
        again = "make it again with `qmend guard`, or remove it"
        try:
            plain = parse_json(path.read_text())
            version = plain["guard_version"]
        except (ValueError, KeyError, TypeError):
            raise QmendError(f"{path} is damaged; {again}.") from None
        if version != GUARD_VERSION:
            raise QmendError(
                f"{path} has guard version {version}, this package reads {GUARD_VERSION}; {again}."
            )
        try:
            score, threshold = _read_score(plain["score"]), float(plain["threshold"])
            guard = Guard(score, threshold, str(plain["weights_sha256"]), dict(plain["promise"]))
            _ = guard.sentence
        except (AttributeError, ValueError, KeyError, TypeError, QmendError):
            raise QmendError(f"{path} is damaged; {again}.") from None
        shares = [float(guard.promise[f"{name}_pct"]) for name in ("harmed", "confidence")]
        if not all(0 < share < 100 for share in shares):
            raise QmendError(f"{path} promises shares of {shares} %; {again}.")
        if not 0 <= threshold <= 1:
            raise QmendError(f"{path} has the threshold {threshold}, no probability; {again}.")
        if guard.weights_sha256 != file_sha256(weights):
            raise QmendError(f"{path} belongs to other weights than {weights.name}; {again}.")
        return guard


def _read_score(plain: Mapping[str, Any]) -> HarmScore:
    signals, terms = plain["signals"], plain["terms"]
    return HarmScore(
        tuple(signals),
        np.array([each["mean"] for each in signals.values()], dtype=np.float64),
        np.array([each["scale"] for each in signals.values()], dtype=np.float64),
        tuple(tuple(term["product"]) for term in terms),
        np.array([term["weight"] for term in terms], dtype=np.float64),
        float(plain["intercept"]),
    )
