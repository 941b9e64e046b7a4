"""A whole search: found again where it was stopped, run, and brought to its end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.runs.scoring import Context, dataset_tags
from qmend.runs.training import TrainingConfig, training_tags
from qmend.tracking.run import Run, config_sha, start_run
from qmend.tracking.store import process_identity
from qmend.training.fit import prepare
from qmend.training.state import Say, claimed, discard
from qmend.tuning.config import TuneConfig
from qmend.tuning.journal import Journal, Trial
from qmend.tuning.ray_trials import run_trials
from qmend.tuning.result import SearchResult, conclude
from qmend.tuning.search import Check, Search, Watch, log_data
from qmend.tuning.space import SECTIONS, SearchSpace
from qmend.tuning.trial import Shared
from qmend.tuning.warm_start import best_earlier
from qmend.types import QmendError

#: Folder in the store with one folder for each search: its journal, and unfinished trials.
_SEARCHES = "searches"
#: Fields of ``tune`` that say how and where, not what is tried.
_INCIDENTAL = ("trials", "parallel", "resources", "address", "output")


@dataclass(frozen=True)
class Plan:
    """What is searched, checked before any work.

    Attributes:
        config: the config that sampled values are set in, as ``qmend train`` takes it, with
            ``trainer.monitor`` and ``trainer.threads`` as the search decides them.
        training: the same, validated.
        tune: the search's own part of the config as plain values.
    """

    options: TuneConfig
    space: SearchSpace
    training: TrainingConfig
    config: Mapping[str, Any]
    tune: Mapping[str, Any]
    seed: int
    check: Check

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the trials; a search of the same identity on the same data goes on."""
        kept = {name: self.config[name] for name in ("device", "dataset", *SECTIONS)}
        tune = {k: v for k, v in self.tune.items() if k not in _INCIDENTAL}
        return {**kept, "seed": self.seed, "tune": tune}

    @property
    def max_epochs(self) -> int:
        return self.training.trainer.max_epochs


@dataclass(frozen=True)
class SearchDone:
    """A search that has come to its end.

    Attributes:
        run_id: of the search's own run.
        new: trials that were run or gone on with by this call.
    """

    search: Search
    result: SearchResult
    run_id: str
    new: int


#: (the search, its result) -> text of the best config, written as an artifact.
WriteBest = Callable[[Search, SearchResult], str]


def run_search(
    context: Context,
    plan: Plan,
    write_best: WriteBest,
    watch: Watch = lambda trial: None,
    say: Say = lambda sentence: None,
) -> SearchDone:
    """Run a search to its end, from wherever an earlier call left it.

    Raises:
        QmendError: if another process is at the same search, or no trial finished.
    """
    key = f"{config_sha(plan.identity)}-{context.dataset.manifest.dataset_sha}"
    with claimed(context.store.root / _SEARCHES / key) as folder:
        if folder is None:
            raise QmendError(
                f"Another process is at this search ({context.store.root / _SEARCHES / key}); "
                "wait for it, or change tune.seed for another one."
            )
        journal, parent = _found(context, folder, key, say)
        ended = all(t.outcome is not None for t in journal.trials)
        if (
            parent is not None
            and parent.info.status == "FINISHED"
            and ended
            and len(journal.trials) >= plan.options.trials
        ):
            say(f"All {len(journal.trials)} trials of this search are done: nothing to train.")
            search = _search(context, plan, folder, journal, parent.info.run_id, watch)
            return SearchDone(search, conclude(search), parent.info.run_id, 0)
        if journal.trials:
            left = [t for t in journal.trials if t.outcome is None]
            say(
                f"Goes on with a search of {len(journal.trials)} trials, "
                f"{len(left)} of them unfinished."
            )
        training = plan.training
        name = f"tune {training.model.name} {context.dataset.folder.name}"
        tags = {
            "kind": "tune",
            "search": key,
            "objective": plan.options.metric,
            "direction": "minimize",
            **dataset_tags(context.dataset),
            **training_tags(training, plan.seed),
        }
        unfinished = None if parent is None else parent.info.run_id
        with start_run(context.store, name, tags, plan.identity, context.parent, unfinished) as run:
            space = json.dumps(plan.space.to_json(), indent=1)
            run.text(space + "\n", "search_space.json")
            log_data(run, context.dataset.manifest, context.dataset.folder)
            search = _search(context, plan, folder, journal, run.run_id, watch)
            new = search.wanted
            _run(search, plan, folder)
            result = conclude(search)
            _log(run, search, result, write_best(search, result))
        return SearchDone(search, result, run.run_id, new)


def _found(context: Context, folder: Path, key: str, say: Say) -> tuple[Journal, MlflowRun | None]:
    """A search's journal and run, both or none: one without the other starts anew."""
    journal = Journal(folder)
    runs = context.store.runs(f"tags.kind = 'tune' and tags.search = '{key}'", limit=1)
    if not runs:
        if journal.trials:
            say("The run of this search is not in the store any more: starts anew.")
            for path in folder.iterdir():
                discard(path) if path.is_dir() else path.unlink()
        return Journal(folder), None
    children = context.store.runs(
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{runs[0].info.run_id}'", limit=1
    )
    return journal, runs[0] if journal.trials or not children else None


def _search(
    context: Context, plan: Plan, folder: Path, journal: Journal, parent: str, watch: Watch
) -> Search:
    earlier = None
    model = plan.training.model
    if plan.options.warm_start.best_run:
        earlier = best_earlier(
            context,
            model.name,
            model.encoding,
            plan.training.loss.name,
            plan.options.metric,
            parent,
        )
    return Search(
        context,
        folder,
        journal,
        plan.space,
        plan.config,
        plan.options,
        plan.seed,
        plan.check,
        parent,
        earlier,
        watch,
    )


def _run(search: Search, plan: Plan, folder: Path) -> None:
    """Run what is wanted; however that ends, no run of a trial says RUNNING afterwards."""
    context = search.context
    if not search.wanted:
        return
    try:
        dataset = context.dataset
        prepared = prepare(plan.training.model, dataset.part("train"), dataset.part("val"))
        shared = Shared(
            context.store,
            dataset.manifest,
            plan.config,
            plan.options.metric,
            plan.seed,
            prepared.encoding,
            prepared.n_qubits,
            Shared.arrays(prepared.train),
            Shared.arrays(prepared.val),
            folder,
            process_identity(),
        )
        run_trials(search, shared, plan.max_epochs)
        search.sweep()
    except (KeyboardInterrupt, SystemExit):
        search.interrupt("interrupted")
        raise
    except BaseException as error:
        search.interrupt(f"the search was stopped: {error}")
        raise
    unended = [t for t in search.journal.trials if t.outcome is None]
    if unended or len(search.journal.trials) < plan.options.trials:
        search.interrupt("the search was stopped")
        raise QmendError("Ray ended before all trials had; the same command goes on with them.")


def _log(run: Run, search: Search, result: SearchResult, best_config: str) -> None:
    trials: list[Trial] = search.journal.trials
    count = {
        outcome: float(sum(t.outcome == outcome for t in trials))
        for outcome in ("finished", "pruned", "failed")
    }
    best = result.best
    run.metrics(
        {
            "tune/trials": float(len(trials)),
            **{f"tune/{outcome}": number for outcome, number in count.items()},
            "tune/best": best.trial.best,
            "cost/seconds": math.fsum(t.seconds for t in trials),
            "cost/parameters": float(best.trial.parameters),
            "test/l1rc_median": best.test.value,
            "test/l1rc_median_lo": best.test.lo,
            "test/l1rc_median_hi": best.test.hi,
            "test/improved_pct": best.improved_pct,
            "test/harmed_pct": best.harmed_pct,
        }
    )
    run.tags({"best_run": best.run_id, "best_trial": str(best.trial.number)})
    run.text(best_config, "best.yaml")
