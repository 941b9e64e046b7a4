"""Simulated worlds that a guard is fitted, chosen and measured in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest

from qmend import metrics
from qmend.datasets.circuits import fill_missing
from qmend.datasets.config import dataset_recipe, recipe_sha
from qmend.encodings.device_paths import (
    DevicePathsEncoding,
    known_numbers,
    losses_of,
    references_of,
)
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_seed
from qmend.generation.setup import generation_setup
from qmend.metrics import HARM_THRESHOLD, Interval
from qmend.mitigation.guard_signals import log_gain, read_signals
from qmend.models.trained import TrainedModel
from qmend.runs.fine_tuning import trained_recipe
from qmend.tracking.store import Store
from qmend.types import AnyArray, FloatArray, IntArray, Progress

#: First numbers of the keys of a guard's worlds, and of the draws in each.
_WORLDS, _DRAWS = 0x6A2D, 0x6A2E


@dataclass(frozen=True)
class Examples:
    """Circuits of simulated worlds with what a network makes of them, (N,) each.

    Attributes:
        signals: by name, see :func:`qmend.mitigation.guard_signals.read_signals`.
        l1rc: of the network's output.
        references: K of each circuit.
    """

    signals: Mapping[str, FloatArray]
    l1rc: FloatArray
    references: IntArray

    def __len__(self) -> int:
        return len(self.l1rc)

    @property
    def harmed(self) -> AnyArray:
        """(N,) whether the output harms."""
        return self.l1rc > HARM_THRESHOLD

    def select(self, index: AnyArray) -> Examples:
        """Select circuits."""
        signals = {name: values[index] for name, values in self.signals.items()}
        return Examples(signals, self.l1rc[index], self.references[index])

    @staticmethod
    def join(parts: Sequence[Examples]) -> Examples:
        """Concatenate, without circuits that have no noisy error."""
        joined = Examples(
            {
                name: np.concatenate([part.signals[name] for part in parts])
                for name in parts[0].signals
            },
            np.concatenate([part.l1rc for part in parts]),
            np.concatenate([part.references for part in parts]),
        )
        return joined.select(~np.isnan(joined.l1rc))


@dataclass(frozen=True)
class GuardWorlds:
    """Worlds by the recipe of a network's training data, none of which it was trained in.

    Each is a job with circuits, noise and, where the recipe draws devices, a device of its own.

    Attributes:
        references: numbers K of reference circuits, of which each world draws one.
        seed: of the draws.
    """

    model: TrainedModel
    source: OnlineCircuits
    references: tuple[int, ...]
    seed: int

    @staticmethod
    def of(
        store: Store,
        model: TrainedModel,
        provenance: Mapping[str, Any],
        references: tuple[int, ...],
        seed: int,
    ) -> GuardWorlds:
        """Set the worlds of a network up.

        Args:
            store: that has the network's run, if its checkpoint does not name the device.

        Raises:
            QmendError: if the recipe of its training data is not known.
        """
        own = online_seed(_WORLDS, seed)  # no training has such a seed
        dataset, device, noise = trained_recipe(store, provenance, own)
        calibrations = generation_setup(dataset, device).calibrations
        source = OnlineCircuits(
            dataset, device, calibrations, noise, online_seed(dataset.seed, own), frozenset()
        )
        return GuardWorlds(model, source, references, seed)

    @property
    def recipe(self) -> dict[str, str]:
        """Name and hash of the recipe."""
        source = self.source
        sha = recipe_sha(dataset_recipe(source.dataset, source.device))
        return {"dataset": source.dataset.name, "recipe_sha": sha}

    def examples(self, worlds: range, circuits: int, progress: Progress) -> Examples:
        """Simulate worlds, and mitigate so many circuits of each."""
        parts = []
        for done, world in enumerate(worlds):
            progress(done, len(worlds))
            parts.append(self._examples(world, circuits))
        progress(len(worlds), len(worlds))
        return Examples.join(parts)

    def _examples(self, world: int, circuits: int) -> Examples:
        encoding = self.model.encoding
        assert isinstance(encoding, DevicePathsEncoding)
        rng = np.random.default_rng([_DRAWS, self.seed, world])
        count = int(rng.choice(self.references))
        (job,) = replace(self.source, job_size=count + circuits).job(world)
        # Families take turns in a job: any of its circuits may be a reference.
        job = job.select(rng.permutation(len(job)))
        batch = fill_missing(job.circuits, encoding.mean_calibration).circuits
        known, others = np.arange(count), slice(count, None)
        encoded = encoding(batch)  # costs more than all that follows
        tokens, told = encoded.tokens.numpy(), []
        if count:
            told = [references_of(batch, losses_of(batch, tokens), job.ideal, known)]
        batch = replace(batch, numbers=known_numbers(batch, told))
        device = encoding.device(batch, tokens, None, None).astype(np.float32)
        encoded = replace(encoded, device=torch.from_numpy(device))
        mitigated, signals = read_signals(self.model, batch, encoded)
        if count:
            gain = log_gain(job.ideal[known], batch.noisy[known], mitigated[known]).mean()
            signals["gain"] = np.full(len(batch), gain)
        return Examples(
            {name: values[others] for name, values in signals.items()},
            metrics.l1rc(job.ideal[others], batch.noisy[others], mitigated[others]),
            np.full(circuits, count),
        )


@dataclass(frozen=True)
class GuardRate:
    """How a guard does on circuits of worlds of their own.

    Attributes:
        circuits: one of each world.
        applied_pct: share that the network is applied to.
        harmed_pct: share of these that it harms; NaN where there are none.
        l1rc_median: of all circuits, those abstained from count as 0.
        unguarded_harmed_pct, unguarded_median: of the network applied to all.
    """

    circuits: int
    applied_pct: Interval
    harmed_pct: Interval
    l1rc_median: float
    unguarded_harmed_pct: float
    unguarded_median: float

    @staticmethod
    def of(examples: Examples, applied: AnyArray) -> GuardRate:
        """Measure shares, with exact binomial 95 % intervals (Clopper and Pearson 1934)."""
        l1rc, harmed = examples.l1rc, examples.harmed
        return GuardRate(
            len(examples),
            _share(applied),
            _share(harmed[applied]),
            metrics.median_l1rc(np.where(applied, l1rc, 0.0)),
            metrics.harmed_pct(l1rc),
            metrics.median_l1rc(l1rc),
        )

    @property
    def figures(self) -> dict[str, float]:
        """Figures by the names of metrics."""
        names = ("l1rc_median", "unguarded_harmed_pct", "unguarded_median")
        return {
            "circuits": float(self.circuits),
            **self.applied_pct.logged("applied_pct"),
            **self.harmed_pct.logged("harmed_pct"),
            **{name: getattr(self, name) for name in names},
        }


def _share(chosen: AnyArray) -> Interval:
    """Compute a share in per cent with its interval; NaN of nothing."""
    if not len(chosen):
        return Interval(np.nan, np.nan, np.nan)
    share = binomtest(int(np.count_nonzero(chosen)), len(chosen))
    ends = share.proportion_ci(0.95, method="exact")
    return Interval(*(100 * float(each) for each in (share.statistic, ends.low, ends.high)))
