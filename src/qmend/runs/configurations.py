"""Configurations: scored runs that differ in their seed only, under unique names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mlflow.entities import Run as MlflowRun

from qmend.config.spellings import current_params
from qmend.metrics import Interval
from qmend.runs.reading import ScoredRun

#: Params of place, speed and random numbers.
_INCIDENTAL = (
    "tracking.",
    "data.",
    "ray.",
    "report",
    "resume",
    "force",
    "output",
    "seed",
    "trainer.threads",
    "trainer.save_every_seconds",
)


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed only: a row of a leaderboard.

    Attributes:
        name: unique within its leaderboard.
        runs: one a seed.
        repeats: older runs of the same configuration and seed, left out.
    """

    name: str
    runs: tuple[ScoredRun, ...]
    repeats: tuple[ScoredRun, ...] = ()

    @property
    def kind(self) -> str:
        return self.runs[0].kind

    @property
    def run_ids(self) -> tuple[str, ...]:
        return tuple(run.run_id for run in self.runs)

    @property
    def seeds(self) -> tuple[float, ...]:
        """Median L1RC of each seed."""
        return tuple(run.median for run in self.runs)

    @property
    def simulates(self) -> bool:
        return any(run.simulates for run in self.runs)

    @property
    def networks(self) -> set[str]:
        """Ids of its networks' trainings; those of an ensemble joined by ``+``."""
        return {
            run.tags.get("checkpoint_run", "") if run.kind == "evaluation" else run.run_id
            for run in self.runs
        }

    @property
    def eligible(self) -> bool:
        """A practical method, no simulation and no reference: it may win."""
        return not self.simulates and self.kind != "reference"

    @property
    def median(self) -> float:
        """Mean over seeds of the median L1RC."""
        return float(np.mean(self.seeds))

    @property
    def validation(self) -> float:
        """Mean over seeds of the best validation figure."""
        return float(np.mean([run.validation for run in self.runs]))

    @cached_property
    def figures(self) -> dict[str, Interval]:
        """Means over seeds, with the hull of their intervals."""
        each = [run.figures for run in self.runs]
        return {
            name: Interval.mean([figures[name] for figures in each])
            for name in each[0]
            if all(name in figures for figures in each)
        }

    @property
    def parameters(self) -> int:
        return int(self._mean("parameters"))

    @property
    def seconds(self) -> float:
        return self._mean("seconds")

    @property
    def shots_factor(self) -> float:
        return self._mean("shots_factor")

    def _mean(self, attribute: str) -> float:
        return float(np.mean([getattr(run, attribute) for run in self.runs]))

    @property
    def record(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        names = ("name", "kind", "seeds", "parameters", "seconds", "shots_factor", "simulates")
        plain = {name: getattr(self, name) for name in (*names, "run_ids")}
        return {**plain, "figures": {name: vars(figure) for name, figure in self.figures.items()}}


def group_seeds(
    runs: Sequence[ScoredRun], sources: Mapping[str, MlflowRun]
) -> tuple[Configuration, ...]:
    """Group runs by their params apart from the seed; lowest median L1RC first.

    Args:
        sources: id -> run, for the trainings that evaluations name; evaluations of networks
            that differ in their seed only are one configuration.
    """
    by_key: dict[tuple[object, ...], dict[str, list[ScoredRun]]] = {}
    for run in sorted(runs, key=lambda r: -r.started):
        by_key.setdefault(_key(run, sources), {}).setdefault(run.seed, []).append(run)
    members, repeats = [], []
    for seeds in by_key.values():
        members.append(tuple(sorted((each[0] for each in seeds.values()), key=lambda r: r.seed)))
        repeats.append(tuple(run for each in seeds.values() for run in each[1:]))
    configurations = map(Configuration, _names([runs[0] for runs in members]), members, repeats)
    return tuple(sorted(configurations, key=lambda c: (np.isnan(c.median), c.median)))


def _key(run: ScoredRun, sources: Mapping[str, MlflowRun]) -> tuple[object, ...]:
    """Identify the configuration of a run."""
    if run.kind == "baseline":
        # A baseline's params include those of the command that ran it: its figures identify it.
        return run.kind, run.name, round(run.median, 12)
    params = compared_params(run.params)
    checkpoint = run.tags.get("checkpoint_run", "")
    if run.kind == "evaluation":
        # One command scores several checkpoints, and names them all in its params.
        params = {k: v for k, v in params.items() if not re.match(r"checkpoint(\.|$)", k)}
        if "guard" in params:
            params["guard"] = "of its own"
        source = sources.get(checkpoint)
        if source is not None:
            training = compared_params(source.data.params)
            training["dataset_sha"] = source.data.tags.get("dataset_sha", "?")
            return run.kind, _stem(run), *map(_sorted, (params, training))
    return run.kind, run.tags.get("architecture"), checkpoint, _sorted(params)


def _sorted(params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(params.items()))


def _stem(run: ScoredRun) -> str:
    """Remove the seed from a run's name."""
    return re.sub(r"[ _,]*\bseed[ =]?\d+", "", run.name).strip() or run.name


def _names(firsts: Sequence[ScoredRun]) -> list[str]:
    """Name runs uniquely: by their name, then params that differ, then id."""
    stems = [_stem(run) for run in firsts]
    names = []
    for stem, run in zip(stems, firsts, strict=True):
        namesakes = [r for s, r in zip(stems, firsts, strict=True) if s == stem]
        names.append(f"{stem} ({_qualifier(run, namesakes)})" if len(namesakes) > 1 else stem)
    return [
        name if names.count(name) == 1 else f"{name} {run.run_id[:6]}"
        for name, run in zip(names, firsts, strict=True)
    ]


def _qualifier(run: ScoredRun, namesakes: Sequence[ScoredRun]) -> str:
    """Choose a tag or a few params that no namesake shares, else the id."""
    for key in ("architecture", "loss", "head"):
        if len({other.tags.get(key) for other in namesakes}) == len(namesakes):
            return run.tags[key]
    own = compared_params(run.params)
    keys = differing([other.params for other in namesakes])
    params = [f"{key.rpartition('.')[2]}={own[key]}" for key in keys if key in own]
    fits = 0 < len(params) <= 3 and sum(map(len, params)) <= 40
    return ", ".join(params) if fits else run.run_id[:6]


def compared_params(params: Mapping[str, str]) -> dict[str, str]:
    """Select the params that decide a result, apart from the seed, in present spelling."""
    current = current_params(params)
    return {key: value for key, value in current.items() if not key.startswith(_INCIDENTAL)}


def differing(params: Sequence[Mapping[str, str]]) -> list[str]:
    """List the compared params that differ between runs, in alphabetical order."""
    each = [compared_params(one) for one in params]
    keys = sorted(set().union(*each)) if each else []
    return [key for key in keys if len({one.get(key) for one in each}) > 1]
