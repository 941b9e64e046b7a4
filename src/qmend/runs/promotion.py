"""Promote networks: compare them with the champion on the same test circuits."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from qmend.evaluation.comparison import Comparison, compare
from qmend.evaluation.scores import Scores
from qmend.evaluation.simulation import GAIN, SLOPE
from qmend.metrics import Bootstrap, Interval, interval_text
from qmend.runs.evaluation import GUARD_TAG, check_unseen, check_unseen_measurements, run_evaluation
from qmend.runs.logged_dataset import logged_dataset
from qmend.runs.networks import LoadedNetwork, readable_rows
from qmend.runs.scoring import Context
from qmend.tracking.registry import Version, champion, crown, promoting, register
from qmend.tracking.store import Store, explain_errors
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.types import QmendError

_SCORES = "scores/test.parquet"
#: Where datasets lie, beside where they lay.
_DATASETS = (Path("data"),)


def judge(ours: Scores, theirs: Scores | None) -> Comparison:
    """Compare a network with the champion on the same circuits.

    Args:
        theirs: of the champion; None: there is none, and no mitigation is to be beaten.

    Raises:
        QmendError: if the circuits are not the same.
    """
    if theirs is not None and not np.array_equal(ours.circuit_id, theirs.circuit_id):
        raise QmendError(
            "The scores of the two networks are not of the same circuits; score both on one "
            "dataset with `qmend evaluate`."
        )
    return compare(ours, theirs, Bootstrap.over(ours.job_id))


@dataclass(frozen=True)
class Promotion:
    """Result of a promotion.

    Attributes:
        version: of the run's network, new or not.
        champion: whether it is the champion now.
        previous: the champion before; None: there was none.
        comparison: with the champion, or no mitigation where there was none; None where no
            comparison was possible or needed.
        reason: why it is not compared, or not the champion, in a few words; empty else.
        forced: it is the champion by request, without having won.
    """

    version: int
    champion: bool
    previous: Version | None
    comparison: Comparison | None
    reason: str = ""
    forced: bool = False


def promote(store: Store, run_id: str, force: bool = False) -> Promotion:
    """Register a run's network; make it champion if it wins.

    A champion that was scored on other data is scored on the test split of the run's data first,
    as a tracked run. A network that simulates its circuits never becomes champion, one of which
    that was not measured only by force.

    Args:
        force: make it the champion whatever the comparison says; the version's tags record it.

    Raises:
        QmendError: if the run has no scored network, the two can't be compared or whether it
            simulates was not measured (not with force), or it simulates (with force).
    """
    run = _candidate(store, run_id)
    simulates = run.data.tags["simulates"] == "true"
    if simulates and force:
        raise QmendError(
            f"The network of run {run_id} simulates its circuits instead of mitigating them, and "
            "can't be champion, with --force either; promote another."
        )
    with promoting(store):
        previous = champion(store)
        if simulates:
            return Promotion(register(store, run_id), False, previous, None, "it simulates")
        if previous is not None and previous.run_id == run_id:
            return Promotion(previous.number, True, previous, None, "it was already")
        comparison, reason = None, ""
        try:
            _check_measured(run)
            comparison = judge(_scores(store, run_id), _champion_scores(store, previous, run))
        except QmendError as error:
            if not force:
                raise
            reason = str(error)
        wins = comparison is not None and comparison.beats
        forced = force and not wins
        tags = _tags(run, previous, comparison, forced)
        version = register(store, run_id, tags)
        if wins or forced:
            if _number(champion(store)) != _number(previous):  # another computer's, on a server
                raise QmendError(
                    "Another network became champion meanwhile; promote this one again, to "
                    "compare it with that."
                )
            crown(store, version)
    return Promotion(version, wins or forced, previous, comparison, reason, forced)


def _check_measured(run: MlflowRun) -> None:
    """Refuse a run that says nothing of a simulation.

    Raises:
        QmendError: for a run of an older version, or of too small a test split.
    """
    figures = [Interval.read(run.data.metrics, f"test/{name}") for name in (SLOPE, GAIN)]
    if any(each is None or np.isnan(astuple(each)).any() for each in figures):
        raise QmendError(
            f"Whether the network of run {run.info.run_id} simulates its circuits was not "
            "measured: its test split is too small, or an older version scored it; train it again, "
            "on a larger dataset, or use --force."
        )


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number


def _tags(
    run: MlflowRun, previous: Version | None, comparison: Comparison | None, forced: bool
) -> dict[str, str]:
    """Describe a version's last promotion."""
    against = "none" if previous is None else str(previous.number)
    tags = {"promotion.against": against, "promotion.forced": str(forced).lower()}
    tags["promotion.dataset_sha"] = run.data.tags["dataset_sha"]
    if comparison is None:
        return {**tags, "promotion.beats": "not compared"}
    return {
        **tags,
        "promotion.beats": str(comparison.beats).lower(),
        "promotion.l1rc_median": interval_text(comparison.difference),
        "promotion.harmed_pct": interval_text(comparison.harm),
    }


def _candidate(store: Store, run_id: str) -> MlflowRun:
    """Find a finished, scored run whose network can be read.

    Raises:
        QmendError: naming what is missing.
    """
    try:
        run = store.client.get_run(run_id)
    except MlflowException:
        raise QmendError(f"The store {store.root} has no run {run_id}.") from None
    if run.info.status != "FINISHED":
        raise QmendError(
            f"Run {run_id} is {run.info.status}; only a finished run's network can be promoted."
        )
    load_checkpoint(checkpoint_folder(store, run_id))
    if run.data.tags.get("simulates") not in ("true", "false"):
        raise QmendError(
            f"Run {run_id} was not scored on a test split; train with `qmend train`, which does."
        )
    return run


def _scores(store: Store, run_id: str) -> Scores:
    path = store.artifact(store.client.get_run(run_id), _SCORES)
    if not path.exists():
        raise QmendError(
            f"Run {run_id} has no {_SCORES}; only networks scored on a test split can be compared."
        )
    return Scores.read(path)


def _champion_scores(store: Store, version: Version | None, candidate: MlflowRun) -> Scores | None:
    """Read or compute the champion's scores on the candidate's test split."""
    if version is None:
        return None
    wanted = candidate.data.tags["dataset_sha"]
    with explain_errors(store.root):
        query = (
            f"tags.kind = 'evaluation' and attributes.status = 'FINISHED' "
            f"and tags.checkpoint_run = '{version.run_id}' and tags.dataset_sha = '{wanted}'"
        )
        evaluations = [
            run.info.run_id for run in store.runs(query) if GUARD_TAG not in run.data.tags
        ]
    try:
        trained = store.client.get_run(version.run_id)
    except MlflowException:
        raise QmendError(
            f"The run {version.run_id} of the champion, version {version.number}, is not in the "
            "store any more; --force puts another in its place."
        ) from None
    if trained.data.tags.get("dataset_sha") == wanted:
        evaluations.insert(0, version.run_id)
    for run_id in evaluations:
        try:
            return _scores(store, run_id)
        except QmendError:
            continue  # of another split
    return _evaluated(store, version, candidate)


def _evaluated(store: Store, version: Version, candidate: MlflowRun) -> Scores:
    try:
        dataset = logged_dataset(store, candidate, _DATASETS)
    except QmendError as error:
        raise QmendError(
            f"The champion, version {version.number}, was scored on other data than run "
            f"{candidate.info.run_id}, and {error}"
        ) from None
    model, provenance = load_checkpoint(checkpoint_folder(store, version.run_id))
    try:
        if dataset.manifest.origin == "imported":
            check_unseen_measurements(provenance, dataset.manifest)
            network = LoadedNetwork(model, provenance, model.config.name)
            dataset, _ = readable_rows(dataset.folder, [network], None)
        else:
            check_unseen(model, provenance, dataset.manifest.recipe["dataset"])
    except QmendError as error:
        raise QmendError(
            f"The champion, version {version.number}, can't be scored on {dataset.folder}: {error}"
        ) from None
    config = {"checkpoint": version.run_id, "challenger": candidate.info.run_id}
    context = Context(store, dataset)
    return run_evaluation(context, model, provenance, config).scores
