"""Scored runs read back from the store, grouped by the circuits that they were scored on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.entities import Run as MlflowRun

from qmend import metrics
from qmend.evaluation.scores import Scores
from qmend.metrics import Bootstrap, Interval
from qmend.tracking.finding import artifact_path, kind_of, name_of
from qmend.tracking.store import Store, reported
from qmend.types import AnyArray, FloatArray

#: Splits that a run can have been scored on, the one that counts first.
_SCORED = ("test", "all", "val", "train")
#: Params that say where, how fast or with which random numbers.
_NOT_COMPARED = ("tracking.", "data.", "report", "resume", "output", "seed")
HISTORY = ("train/loss", "val/loss", "val/l1rc_median")


@dataclass(frozen=True)
class ScoredRun:
    """A run with the scores of each circuit.

    Attributes:
        run: its tags, params and last metrics.
        split: which circuits were scored.
        circuit_id, job_id: (N,) strings.
        history: metric -> one value an epoch; empty where there was none.
    """

    run: MlflowRun
    split: str
    scores: Scores
    circuit_id: AnyArray
    job_id: AnyArray
    history: Mapping[str, Sequence[float]]

    @property
    def seed(self) -> str:
        return str(self.run.data.tags.get("seed", "none"))

    @property
    def simulates(self) -> bool:
        return bool(self.run.data.tags.get("simulates") == "true")

    @property
    def median(self) -> float:
        """Median L1RC of all circuits."""
        return metrics.median_l1rc(self.scores.l1rc)

    @property
    def validation(self) -> float:
        """Lowest median L1RC on the validation split over the epochs; inf where there is none."""
        values = np.array(self.history.get("val/l1rc_median", []), dtype=float)
        known = values[~np.isnan(values)]
        return float(known.min()) if len(known) else float("inf")

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What must be equal for two runs to be comparable: data, split and the very circuits."""
        tags = self.run.data.tags
        ids = "\n".join(sorted(f"{c} {j}" for c, j in zip(self.circuit_id, self.job_id)))  # noqa: B905
        digest = hashlib.sha256(ids.encode()).hexdigest()
        return tags.get("dataset", "?"), tags.get("dataset_sha", "?"), self.split, digest

    def in_order_of(self, other: ScoredRun) -> ScoredRun:
        """The same circuits in the order of another run's."""
        if np.array_equal(self.circuit_id, other.circuit_id):
            return self
        back = np.argsort(np.lexsort((other.job_id, other.circuit_id)))
        index = np.lexsort((self.job_id, self.circuit_id))[back]
        columns = {k: getattr(self.scores, k)[index] for k in Scores.__dataclass_fields__}
        return replace(
            self,
            scores=Scores(**columns),
            circuit_id=self.circuit_id[index],
            job_id=self.job_id[index],
        )


def scored_split(run: MlflowRun) -> str | None:
    """The split that a run logged figures with intervals of; None: it scored nothing."""
    found = (split for split in _SCORED if f"{split}/l1rc_median_lo" in run.data.metrics)
    return next(found, None)


def history(store: Store, run: MlflowRun, names: Sequence[str] = HISTORY) -> dict[str, list[float]]:
    """Values by step of those metrics that the run logged; the last where a step has several."""
    found: dict[str, list[float]] = {}
    with reported(store.root):
        for name in names:
            if name not in run.data.metrics:
                continue
            logged = store.client.get_metric_history(run.info.run_id, name)
            by_step = {m.step: m.value for m in sorted(logged, key=lambda m: m.timestamp)}
            found[name] = [by_step[step] for step in sorted(by_step)]
    return found


def read_scored(store: Store, run: MlflowRun) -> ScoredRun | None:
    """A run's scores; None where it scored nothing or its scores can't be read any more."""
    split = scored_split(run)
    if split is None:
        return None
    try:
        table = pq.read_table(artifact_path(run, f"scores/{split}.parquet"))
        columns = {name: table[name].to_numpy() for name in Scores.__dataclass_fields__}
        ids = [np.array(table[name].to_pylist(), dtype=str) for name in ("circuit_id", "job_id")]
    except (OSError, KeyError, pa.ArrowInvalid):
        return None
    return ScoredRun(run, split, Scores(**columns), ids[0], ids[1], history(store, run))


def compared_params(run: MlflowRun) -> dict[str, str]:
    """The params that decide a result, apart from the seed."""
    params: dict[str, str] = run.data.params
    return {k: v for k, v in params.items() if not k.startswith(_NOT_COMPARED)}


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed only, the newest of each seed.

    Attributes:
        name: unique within its group.
        runs: one a seed.
        repeats: older runs of the same configuration and seed, left out.
    """

    name: str
    runs: tuple[ScoredRun, ...]
    repeats: tuple[ScoredRun, ...] = ()

    @property
    def kind(self) -> str:
        return kind_of(self.runs[0].run)

    @property
    def simulates(self) -> bool:
        return any(run.simulates for run in self.runs)

    @property
    def median(self) -> float:
        """Mean over seeds of the median L1RC."""
        return float(np.mean([run.median for run in self.runs]))

    @property
    def validation(self) -> float:
        """Mean over seeds of the best validation figure."""
        return float(np.mean([run.validation for run in self.runs]))


@dataclass(frozen=True)
class PairedDifference:
    """One configuration against another on the same circuits.

    Attributes:
        l1rc: difference of the mean over seeds of the median L1RC; below 0 is better.
        harm: difference of the mean share of harmed circuits, per cent points.
    """

    l1rc: Interval
    harm: float

    @property
    def word(self) -> str:
        """``better`` or ``worse`` where the 95 % interval leaves out 0, else ``even``."""
        if self.l1rc.hi < 0:
            return "better"
        return "worse" if self.l1rc.lo > 0 else "even"


@dataclass(frozen=True)
class Group:
    """Configurations that were scored on the same circuits.

    Attributes:
        dataset, dataset_sha, split: of all.
        configurations: lowest median L1RC first.
    """

    dataset: str
    dataset_sha: str
    split: str
    configurations: tuple[Configuration, ...]

    @property
    def first(self) -> ScoredRun:
        return self.configurations[0].runs[0]

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Over jobs, where there are enough; the same circuits are drawn for every run."""
        return Bootstrap.over(self.first.job_id)

    @property
    def judged(self) -> Configuration | None:
        """What the others are compared with: best on the validation split.

        One that simulates its circuits never is. Baselines only where there is no model.
        """
        real = [c for c in self.configurations if not c.simulates]
        models = [c for c in real if c.kind != "baseline"]
        return min(models or real, key=lambda c: (c.validation, c.median), default=None)

    @cached_property
    def _replicates(self) -> dict[str, FloatArray]:
        """(replicates,) mean over seeds of the median L1RC of each configuration."""
        samples = list(self.bootstrap.samples())

        def drawn(values: FloatArray) -> FloatArray:
            return np.array([metrics.median_l1rc(values[index]) for index in samples])

        return {
            c.name: np.mean([drawn(run.scores.l1rc) for run in c.runs], axis=0)
            for c in self.configurations
        }

    def paired(self, ours: Configuration, theirs: Configuration) -> PairedDifference:
        """Ours minus theirs, both resampled together.

        The interval is over circuits: seeds are taken as they are.
        """
        drawn = self._replicates[ours.name] - self._replicates[theirs.name]
        known = drawn[~np.isnan(drawn)]
        lo, hi = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        value = ours.median - theirs.median
        return PairedDifference(
            Interval(value, float(lo), float(hi)), _harmed(ours) - _harmed(theirs)
        )


def _harmed(configuration: Configuration) -> float:
    shares = [metrics.harmed_pct(run.scores.l1rc) for run in configuration.runs]
    return float(np.mean(shares))


def groups(
    scored: Sequence[ScoredRun], sources: Mapping[str, MlflowRun] | None = None
) -> list[Group]:
    """Runs by the circuits that they were scored on, most configurations first.

    Args:
        sources: id -> run, for the trainings that evaluations name; evaluations of networks
            which differ in their seed only are one configuration.
    """
    by_place: dict[tuple[str, str, str, str], list[ScoredRun]] = {}
    for run in scored:
        by_place.setdefault(run.place, []).append(run)
    found = []
    for (dataset, sha, split, _), members in by_place.items():
        aligned = [run.in_order_of(members[0]) for run in members]
        configurations = _configurations(aligned, sources or {})
        found.append(Group(dataset, sha, split, tuple(configurations)))
    return sorted(found, key=lambda g: (-len(g.configurations), g.dataset))


def _configurations(
    runs: Sequence[ScoredRun], sources: Mapping[str, MlflowRun]
) -> list[Configuration]:
    by_key: dict[tuple[object, ...], dict[str, list[ScoredRun]]] = {}
    for run in sorted(runs, key=lambda r: -r.run.info.start_time):
        by_key.setdefault(_key(run, sources), {}).setdefault(run.seed, []).append(run)
    members = [
        sorted((newest[0] for newest in seeds.values()), key=lambda r: r.seed)
        for seeds in by_key.values()
    ]
    older = [tuple(r for newest in seeds.values() for r in newest[1:]) for seeds in by_key.values()]
    names = _names(members)
    made = [Configuration(*each) for each in zip(names, map(tuple, members), older, strict=True)]
    return sorted(made, key=lambda c: (np.isnan(c.median), c.median))


def _key(scored: ScoredRun, sources: Mapping[str, MlflowRun]) -> tuple[object, ...]:
    """What runs of one configuration have in common."""
    run = scored.run
    tags, kind = run.data.tags, kind_of(run)
    if kind == "baseline":
        # A baseline's params hold those of what ran beside it: its figures tell it apart.
        return kind, name_of(run), round(scored.median, 12)
    given = compared_params(run)
    checkpoint = str(tags.get("checkpoint_run", ""))
    if kind == "evaluation":
        # One command scores several checkpoints, and names them all in its params.
        given.pop("checkpoint", None)
        given = {k: v for k, v in given.items() if not k.startswith("checkpoint.")}
        source = sources.get(checkpoint)
        if source is not None:
            told = {**compared_params(source), "dataset_sha": source.data.tags.get("dataset_sha")}
            return kind, _stem(run), tuple(sorted(given.items())), tuple(sorted(told.items()))
    return kind, tags.get("architecture"), checkpoint, tuple(sorted(given.items()))


def _stem(run: MlflowRun) -> str:
    """A run's name without its seed."""
    return re.sub(r"[ _,]*\bseed[ =]?\d+", "", name_of(run)).strip() or name_of(run)


def _names(members: Sequence[Sequence[ScoredRun]]) -> list[str]:
    """A unique name each: the runs' own, then what differs in their params, then an id."""
    stems = [_stem(runs[0].run) for runs in members]
    names = []
    for stem, runs in zip(stems, members, strict=True):
        twins = [m[0].run for s, m in zip(stems, members, strict=True) if s == stem]
        names.append(stem if len(twins) == 1 else f"{stem} ({_told_apart(runs[0].run, twins)})")
    return [
        name if names.count(name) == 1 else f"{name} {runs[0].run.info.run_id[:6]}"
        for name, runs in zip(names, members, strict=True)
    ]


def _told_apart(run: MlflowRun, twins: Sequence[MlflowRun]) -> str:
    """What tells a run from others of the same name: tags, or a few params, or its id."""
    tags = [
        str(run.data.tags[key])
        for key in ("architecture", "loss", "head")
        if len({twin.data.tags.get(key) for twin in twins}) == len(twins)
    ]
    own = compared_params(run)
    params = [f"{k.rpartition('.')[2]}={own[k]}" for k in differing(twins) if k in own]
    fits = 0 < len(params) <= 3 and sum(map(len, params)) <= 40
    return tags[0] if tags else ", ".join(params) if fits else str(run.info.run_id)[:6]


def differing(runs: Sequence[MlflowRun]) -> list[str]:
    """Params, apart from the seed, that are not the same in all runs; in alphabetical order."""
    each = [compared_params(run) for run in runs]
    keys = sorted(set().union(*each)) if each else []
    return [key for key in keys if len({params.get(key) for params in each}) > 1]
