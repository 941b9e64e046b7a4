"""Make a guard for a trained network, tracked and stored beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from qmend.files import check_writable, file_sha256
from qmend.mitigation.guard import GUARD, Guard
from qmend.mitigation.guard_fitting import choose_threshold, fit_score
from qmend.mitigation.guard_signals import check_readable
from qmend.runs.guard_worlds import Examples, GuardRate, GuardWorlds
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import (
    PRETRAINED,
    PRETRAINED_FOLDER,
    WEIGHTS,
    checkpoint_folder,
    load_checkpoint,
    resolve_checkpoint,
)
from qmend.types import AnyArray, QmendError
from qmend.workflows.configs import GuardConfig
from qmend.workflows.observer import Observer, announce_new


@dataclass(frozen=True)
class GuardResult:
    """A guard, and how it does in worlds of their own.

    Attributes:
        rates: of all circuits under the name ``all``, and of those with K references.
        run_id: of the guard's own run.
    """

    guard: Guard
    rates: Mapping[str, GuardRate]
    run_id: str


def guard(config: GuardConfig, observer: Observer | None = None) -> GuardResult:
    """Fit a guard in simulated worlds, choose its threshold, measure it, and store it.

    Args:
        config: composed by ``compose("guard", ...)``.

    Raises:
        QmendError: if the network can't be read or is the package's own, reads no numbers of the
            device, or does not say how its training data were simulated; if no threshold keeps the
            promise.
    """
    observer = observer or Observer()
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    checkpoint = resolve_checkpoint(store, config.checkpoint)
    config = config.model_copy(update={"checkpoint": checkpoint})
    folder = checkpoint_folder(store, checkpoint)
    if folder == PRETRAINED_FOLDER:
        raise QmendError(
            "The network of the package has its guard; to make another, write it to a directory "
            f"of your own with `qmend models export {PRETRAINED} DIRECTORY`."
        )
    model, provenance = load_checkpoint(folder)
    check_readable(model)
    check_writable(folder / GUARD)
    worlds = GuardWorlds.of(store, model, provenance, config.references, config.seed)
    tags = {
        "kind": "guard",
        "architecture": model.config.name,
        "encoding": model.config.encoding,
        "dataset": worlds.recipe["dataset"],
        "seed": str(config.seed),
        "checkpoint_run": str(provenance.get("run_id", "unknown")),
    }
    name = f"guard of {model.config.name}"
    with start_run(store, name, tags, config.plain()) as run:
        fitted, chosen, measured = _examples(config, worlds, observer)
        score = fit_score(
            fitted.signals, fitted.harmed, config.signals, config.degree, config.penalty
        )
        threshold = choose_threshold(
            score(fitted.signals),
            fitted.harmed,
            score(chosen.signals),
            chosen.harmed,
            config.harmed_pct / 100,
            config.confidence_pct / 100,
        )
        if threshold is None:
            raise QmendError(
                f"No threshold keeps the harmed share at {config.harmed_pct:g} % of what is "
                f"applied with {config.confidence_pct:g} % confidence: in {len(chosen):,} worlds "
                f"the network harms {100 * chosen.harmed.mean():.1f} %; raise worlds.choose or "
                "harmed_pct, or train a better network."
            )
        rates = _rates(measured, score(measured.signals) <= threshold)
        promise = {
            "harmed_pct": config.harmed_pct,
            "confidence_pct": config.confidence_pct,
            "worlds": config.worlds.plain(),
            "seed": config.seed,
            "references": list(config.references),
            **worlds.recipe,
            "run_id": run.run_id,
        }
        made = Guard(score, threshold, file_sha256(folder / WEIGHTS), promise)
        _log(run, made, rates)
        _store(store, checkpoint, folder, made)
    return GuardResult(made, rates, run.run_id)


def _examples(config: GuardConfig, worlds: GuardWorlds, observer: Observer) -> list[Examples]:
    """Simulate the worlds of each part, which share none."""
    sizes = (config.worlds.fit, config.worlds.choose, config.worlds.measure)
    ends = list(accumulate(sizes, initial=0))
    parts = []
    for k, (title, circuits) in enumerate(
        (
            ("worlds to fit to", config.circuits),
            ("worlds to choose by", 1),
            ("worlds to measure", 1),
        )
    ):
        with observer.circuits(title) as progress:
            parts.append(worlds.examples(range(ends[k], ends[k + 1]), circuits, progress))
    return parts


def _rates(measured: Examples, applied: AnyArray) -> dict[str, GuardRate]:
    rates = {"all": GuardRate.of(measured, applied)}
    for count in np.unique(measured.references).tolist():
        rows = measured.references == count
        rates[f"K = {count}"] = GuardRate.of(measured.select(rows), applied[rows])
    return rates


def _log(run: Run, made: Guard, rates: Mapping[str, GuardRate]) -> None:
    """Log the figures, and the guard as a file of its own run."""
    for name, rate in rates.items():
        place = name.replace(" = ", "")
        run.metrics({f"{place}/{key}": value for key, value in rate.figures.items()})
    run.metrics({"threshold": made.threshold})
    with run.artifact_folder("guard") as folder:
        made.write(folder)


def _store(store: Store, checkpoint: str, folder: Path, made: Guard) -> None:
    """Put a guard beside the network's files: among those of its run, or in their directory."""
    if not re.fullmatch(r"[0-9a-f]{32}", checkpoint) or Path(checkpoint).is_dir():
        made.write(folder)
        return
    with Run(store, checkpoint).artifact_folder("model") as files:
        made.write(files)
