"""The result of a search: its best trial, registered and scored on the test split."""

from __future__ import annotations

from dataclasses import dataclass

from qmend.metrics import Interval
from qmend.mitigation.learned import LearnedMitigator
from qmend.runs.scoring import log_dataset, prepare_data, score_run
from qmend.tracking.registry import register
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.tuning.record import Trial
from qmend.tuning.search import Search
from qmend.types import QmendError

#: Tag of the one run that is best in its search.
BEST_TAG = "best"


@dataclass(frozen=True)
class ScoredTrial:
    """A finished trial with its median L1RC on the test split."""

    trial: Trial
    test: Interval
    improved_pct: float
    harmed_pct: float


@dataclass(frozen=True)
class SearchResult:
    """The best trial, and the default config's where it was tried and finished.

    Attributes:
        version: of the best network in the registry.
    """

    best: ScoredTrial
    default: ScoredTrial | None
    version: int

    @property
    def scored(self) -> list[ScoredTrial]:
        """The best, then the default config's where it is another trial."""
        both = self.default is not None and self.default.trial is not self.best.trial
        return [self.best, self.default] if both and self.default else [self.best]


def conclude(search: Search) -> SearchResult:
    """Tag, register and score the best trial; a second call changes nothing.

    The test split is used here alone, after the best trial is chosen.

    Raises:
        QmendError: if no trial finished.
    """
    best = search.best
    if best is None:
        errors = [trial.error for trial in search.trials if trial.outcome == "failed"]
        why = f" (the first failed with {errors[0]!r})" if errors else ""
        raise QmendError(
            f"None of {len(search.trials)} trials finished{why}; change tune.space, or "
            "try the config with `qmend train` first."
        )
    client = search.context.store.client
    for trial in search.trials:
        if trial is best:
            search.run(best).tags({BEST_TAG: "true"})
        elif BEST_TAG in client.get_run(trial.run_id).data.tags:
            client.delete_tag(trial.run_id, BEST_TAG)
    scored = _score(search, best)
    default = next((trial for trial in search.trials if trial.source == "default"), None)
    reference = None
    if default is not None and default.outcome == "finished":
        reference = scored if default is best else _score(search, default)
    version = register(search.context.store, best.run_id, tags={"candidate": search.parent})
    return SearchResult(scored, reference, version)


def _score(search: Search, trial: Trial) -> ScoredTrial:
    """Score a trial on the test split, once, in its own run."""
    context, run = search.context, search.run(trial)
    client, split = context.store.client, context.split
    key = f"{split}/l1rc_median"
    metrics = client.get_run(trial.run_id).data.metrics
    if key not in metrics:
        model, _ = load_checkpoint(checkpoint_folder(context.store, trial.run_id))
        name = f"trial {trial.number}"
        filled = prepare_data(context, model)
        score_run(run, filled, name, LearnedMitigator(model), trial.seconds)
        log_dataset(run, context.dataset, split)
        metrics = client.get_run(trial.run_id).data.metrics
    test = Interval.read(metrics, key)
    assert test is not None
    return ScoredTrial(
        trial,
        test,
        metrics[f"{split}/improved_pct"],
        metrics[f"{split}/harmed_pct"],
    )
