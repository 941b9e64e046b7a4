"""Run a whole search, or resume it from the store, and conclude it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from mlflow.entities import Run as MlflowRun

from qmend.processes import process_identity
from qmend.runs.scoring import Context, dataset_tags, log_dataset
from qmend.runs.training import training_tags
from qmend.tracking.finding import name_of
from qmend.tracking.owner import PROCESS_TAG
from qmend.tracking.run import Run, config_sha, start_run
from qmend.training.data import encode_splits
from qmend.training.observer import Message
from qmend.training.state import claim
from qmend.tuning.naming import name_search
from qmend.tuning.ray_trials import run_trials
from qmend.tuning.record import OUTCOMES, SEARCH_SPACE
from qmend.tuning.result import SearchResult, conclude
from qmend.tuning.search import Search, SearchPlan, Watch
from qmend.tuning.worker import Shared
from qmend.types import QmendError

#: Directory in the store for states of unfinished trials, one directory per search.
_SEARCHES = "searches"


@dataclass(frozen=True)
class CompleteSearch:
    """A search with its result.

    Attributes:
        new: number of trials that this call ran or resumed.
    """

    search: Search
    result: SearchResult
    new: int


#: (the search, its result) -> text of the best config, written as an artifact.
WriteBest = Callable[[Search, SearchResult], str]
#: (name of a search, id of its run or None) -> whether its best config may be written.
Free = Callable[[str, str | None], bool]


def run_search(
    context: Context,
    plan: SearchPlan,
    write_best: WriteBest,
    watch: Watch = lambda trial: None,
    say: Message = lambda sentence: None,
    free: Free = lambda name, run_id: True,
) -> CompleteSearch:
    """Run a search to its end, or resume one that was stopped.

    Raises:
        QmendError: if another process runs the same search, or no trial finished.
    """
    key = f"{config_sha(plan.identity)}-{context.dataset.manifest.dataset_sha}"
    with claim(context.store.folder / _SEARCHES / key) as folder:
        if folder is None:
            raise QmendError(
                f"Another process runs this search ({context.store.folder / _SEARCHES / key}); "
                "wait for it, or change tune.seed for another one."
            )
        parent = _parent(context, key)
        if parent is not None and parent.info.status == "RUNNING":
            raise QmendError(
                f"Another process ({parent.data.tags.get(PROCESS_TAG)}) runs this search (run "
                f"{parent.info.run_id[:12]} of {context.store.root}); wait for it, or change "
                "tune.seed for another one."
            )
        if parent is not None:
            search = Search(context, plan, folder, parent.info.run_id, watch)
            count = len(search.trials)
            if parent.info.status == "FINISHED" and not search.wanted:
                say(f"All {count} trials of this search are done: nothing to train.")
                return CompleteSearch(search, conclude(search), 0)
            unfinished = sum(trial.outcome is None for trial in search.trials)
            say(f"Resumes a search of {count} trials, {unfinished} of them unfinished.")
            name = name_of(parent)
            free(name, parent.info.run_id)
        else:
            named = name_search(context, plan, lambda name: free(name, None))
            name = named.name
            if named.sentence:
                say(named.sentence)
        tags = {
            "kind": "tune",
            "search": key,
            "objective": plan.options.metric,
            **dataset_tags(context.dataset),
            **training_tags(plan.training),
        }
        stopped = None if parent is None else parent.info.run_id
        with start_run(context.store, name, tags, plan.identity, context.parent, stopped) as run:
            run.text(json.dumps(plan.space.to_json(), indent=1) + "\n", SEARCH_SPACE)
            log_dataset(run, context.dataset, "train", "val")
            search = Search(context, plan, folder, run.run_id, watch)
            new = search.wanted
            if new:
                _run(search, say)
            result = conclude(search)
            _log(run, search, result, write_best(search, result))
        return CompleteSearch(search, result, new)


def _parent(context: Context, key: str) -> MlflowRun | None:
    runs = context.store.runs(f"tags.kind = 'tune' and tags.search = '{key}'", limit=1)
    return runs[0] if runs else None


def _run(search: Search, say: Message) -> None:
    """Run the trials that are wanted; leave none of their runs RUNNING."""
    for trial in search.trials:
        if trial.outcome is not None:
            search.watch(trial)
    try:
        run_trials(search, _shared(search), say)
        search.remove_states()
    except (KeyboardInterrupt, SystemExit):
        search.interrupt("interrupted")
        raise
    except BaseException as error:
        search.interrupt(f"the search was stopped: {error}")
        raise
    if search.wanted or any(trial.outcome is None for trial in search.trials):
        search.interrupt("the search was stopped")
        raise QmendError("Ray ended before all trials had; the same command resumes them.")


def _shared(search: Search) -> Shared:
    """Encode the circuits once for all trials."""
    dataset, plan = search.context.dataset, search.plan
    return Shared(
        search.context.store,
        dataset.manifest,
        encode_splits(plan.training.model, dataset.parts("train"), dataset.parts("val")),
        search.folder,
        process_identity(),
    )


def _log(run: Run, search: Search, result: SearchResult, best_config: str) -> None:
    trials, best = search.trials, result.best
    counts = {
        f"tune/{outcome}": float(sum(trial.outcome == outcome for trial in trials))
        for outcome in OUTCOMES
    }
    run.metrics(
        {
            "tune/trials": float(len(trials)),
            **counts,
            "tune/best": best.trial.best,
            "cost/seconds": math.fsum(trial.seconds for trial in trials),
            "cost/parameters": float(best.trial.parameters),
        }
    )
    run.tags({"best_run": best.trial.run_id, "best_trial": str(best.trial.number)})
    run.text(best_config, "best.yaml")
