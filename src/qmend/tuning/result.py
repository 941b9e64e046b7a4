"""What a search ends with: its best trial, registered and scored on the test split."""

from __future__ import annotations

from dataclasses import dataclass

from qmend.metrics import Interval
from qmend.mitigation.learned import LearnedMitigator
from qmend.runs.scoring import finish
from qmend.tracking.registry import register
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.tuning.journal import Trial
from qmend.tuning.search import Search
from qmend.types import QmendError

#: Tag of the one run that is best in its search.
BEST_TAG = "best"


@dataclass(frozen=True)
class Scored:
    """A finished trial with its median L1RC on the test split."""

    trial: Trial
    run_id: str
    test: Interval
    improved_pct: float
    harmed_pct: float


@dataclass(frozen=True)
class SearchResult:
    """The best trial, and the default config's where it was tried and finished."""

    best: Scored
    default: Scored | None
    version: int


def conclude(search: Search) -> SearchResult:
    """Tag, register and score the best trial; done twice, it changes nothing.

    The test split is touched here alone, after the best trial is chosen.

    Raises:
        QmendError: if no trial finished.
    """
    best = search.best
    if best is None:
        errors = [t.error for t in search.journal.trials if t.outcome == "failed"]
        why = f" (the first failed with {errors[0]!r})" if errors else ""
        raise QmendError(
            f"None of {len(search.journal.trials)} trials finished{why}; change tune.space, or "
            "try the config with `qmend train` first."
        )
    context = search.context
    for number, run_id in search.runs.items():
        tags = context.store.client.get_run(run_id).data.tags
        if number == best.number:
            search.run(best).tags({BEST_TAG: "true"})
        elif BEST_TAG in tags:
            context.store.client.delete_tag(run_id, BEST_TAG)
    scored = _scored(search, best)
    default = next((t for t in search.journal.trials if t.source == "default"), None)
    reference = None
    if default is not None and default.outcome == "finished":
        reference = scored if default is best else _scored(search, default)
    version = register(context.store, scored.run_id, tags={"candidate": search.parent})
    return SearchResult(scored, reference, version)


def _scored(search: Search, trial: Trial) -> Scored:
    """A trial's figures on the test split, logged to its own run."""
    context = search.context
    run = search.run(trial)
    key = f"{context.split}/l1rc_median"
    known = context.store.client.get_run(run.run_id).data.metrics
    if f"{context.split}/uniform_l1rc_constant" not in known:
        model, _ = load_checkpoint(checkpoint_folder(context.store, run.run_id))
        name = f"trial {trial.number}"
        finish(run, context, name, "trial", LearnedMitigator(model), trial.seconds, {})
        manifest = context.dataset.manifest
        source = str(context.dataset.folder.resolve())
        run.dataset(manifest.name, manifest.dataset_sha, source, context.split)
        known = context.store.client.get_run(run.run_id).data.metrics
    return Scored(
        trial,
        run.run_id,
        Interval(known[key], known[f"{key}_lo"], known[f"{key}_hi"]),
        known[f"{context.split}/improved_pct"],
        known[f"{context.split}/harmed_pct"],
    )
