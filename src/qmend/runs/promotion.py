"""Which network is the champion: judged on the same test circuits, in pairs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from qmend.datasets.table import Dataset, load_dataset
from qmend.evaluation.scores import Comparison, Scores, compare
from qmend.metrics import Bootstrap
from qmend.runs.evaluation import check_unseen, run_evaluation
from qmend.runs.scoring import Context
from qmend.tracking.registry import Version, champion, crown, promoting, register
from qmend.tracking.store import Store, reported
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.types import AnyArray, QmendError

_SCORES = "scores/test.parquet"


@dataclass(frozen=True)
class ScoredCircuits:
    """Scores with the circuits and jobs that they are of, (N,) each."""

    scores: Scores
    circuit_id: AnyArray
    job_id: AnyArray

    @staticmethod
    def read(path: Path) -> ScoredCircuits:
        """Read the per-circuit scores of a run.

        Raises:
            QmendError: if they are damaged.
        """
        try:
            table = pq.read_table(path)
            scores = Scores(*(table[name].to_numpy() for name in Scores.__dataclass_fields__))
            return ScoredCircuits(
                scores, table["circuit_id"].to_numpy(), table["job_id"].to_numpy()
            )
        except (OSError, KeyError, pa.ArrowException) as error:
            raise QmendError(
                f"The scores in {path} are damaged ({str(error).splitlines()[0]}); score the "
                "network again with `qmend evaluate`."
            ) from None


@dataclass(frozen=True)
class Verdict:
    """A network against the champion, or against no mitigation where there is none yet.

    Attributes:
        wins: whether it may take the champion's place.
    """

    comparison: Comparison
    wins: bool


def judge(ours: ScoredCircuits, theirs: ScoredCircuits | None) -> Verdict:
    """Compare on the same circuits, resampling both together.

    Against a champion: lower median L1RC with the paired interval below 0, and no more harm.
    Against none: the same interval, whose other side is the unmitigated distribution with an
    L1RC of 0; harm is not asked for, as no mitigation never harms.

    Args:
        theirs: of the champion; None: there is none.

    Raises:
        QmendError: if the circuits are not the same.
    """
    bootstrap = Bootstrap.over(ours.job_id)
    if theirs is None:
        unmitigated = replace(ours.scores, l1rc=0.0 * ours.scores.l1rc)  # NaN stays NaN
        comparison = compare(ours.scores, unmitigated, bootstrap)
        return Verdict(comparison, comparison.difference.value < 0 and comparison.difference.hi < 0)
    if not np.array_equal(ours.circuit_id, theirs.circuit_id):
        raise QmendError(
            "The scores of the two networks are not of the same circuits; score both on one "
            "dataset with `qmend evaluate`."
        )
    comparison = compare(ours.scores, theirs.scores, bootstrap)
    return Verdict(comparison, comparison.beats)


@dataclass(frozen=True)
class Promotion:
    """What a promotion did.

    Attributes:
        version: of the run's network, new or not.
        champion: whether it is the champion now.
        previous: the champion before; None: there was none.
        verdict: None where no comparison was possible or needed.
        reason: why it is not compared, or not the champion, in a few words; empty else.
        forced: it is the champion because it was to be, not because it won.
    """

    version: int
    champion: bool
    previous: Version | None
    verdict: Verdict | None
    reason: str = ""
    forced: bool = False


def promote(store: Store, run_id: str, force: bool = False) -> Promotion:
    """Register a run's network, and make it the champion if it beats the present one.

    A champion that was scored on other data is scored on the test split of the run's data first,
    as a tracked run. A network that simulates its circuits never becomes champion.

    Args:
        force: make it the champion whatever the comparison says; the version's tags tell.

    Raises:
        QmendError: if the run has no scored network, the two can't be compared (not with
            force), or it simulates (with force).
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
        verdict, reason = None, ""
        try:
            verdict = judge(_scores(store, run_id), _champion_scores(store, previous, run))
        except QmendError as error:
            if not force:
                raise
            reason = str(error)
        wins = verdict is not None and verdict.wins
        forced = force and not wins
        tags = _tags(run, previous, verdict, forced)
        version = register(store, run_id, tags)
        if wins or forced:
            crown(store, version)
    return Promotion(version, wins or forced, previous, verdict, reason, forced)


def _tags(
    run: MlflowRun, previous: Version | None, verdict: Verdict | None, forced: bool
) -> dict[str, str]:
    """What a version says of its last promotion."""
    against = "none" if previous is None else str(previous.number)
    tags = {"promotion.against": against, "promotion.forced": str(forced).lower()}
    tags["promotion.dataset_sha"] = run.data.tags["dataset_sha"]
    if verdict is None:
        return {**tags, "promotion.beats": "not compared"}
    difference = verdict.comparison.difference
    return {
        **tags,
        "promotion.beats": str(verdict.wins).lower(),
        "promotion.l1rc_median": f"{difference.value:.6f}",
        "promotion.l1rc_median_lo": f"{difference.lo:.6f}",
        "promotion.l1rc_median_hi": f"{difference.hi:.6f}",
        "promotion.harmed_pct": f"{verdict.comparison.harm:.6f}",
    }


def _candidate(store: Store, run_id: str) -> MlflowRun:
    """The run, if it is finished, has a network that can be read, and was judged.

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


def _scores(store: Store, run_id: str) -> ScoredCircuits:
    try:
        path = store.client.download_artifacts(run_id, _SCORES)
    except (MlflowException, OSError):
        raise QmendError(
            f"Run {run_id} has no {_SCORES}; only networks scored on a test split can be compared."
        ) from None
    return ScoredCircuits.read(Path(path))


def _champion_scores(
    store: Store, version: Version | None, candidate: MlflowRun
) -> ScoredCircuits | None:
    """The champion's scores on the candidate's test split, made where there are none."""
    if version is None:
        return None
    wanted = candidate.data.tags["dataset_sha"]
    with reported(store.root):
        query = (
            f"tags.kind = 'evaluation' and attributes.status = 'FINISHED' "
            f"and tags.checkpoint_run = '{version.run_id}' and tags.dataset_sha = '{wanted}'"
        )
        evaluations = [run.info.run_id for run in store.runs(query)]
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


def _evaluated(store: Store, version: Version, candidate: MlflowRun) -> ScoredCircuits:
    dataset = _dataset(candidate, version)
    model, provenance = load_checkpoint(checkpoint_folder(store, version.run_id))
    try:
        check_unseen(model, provenance, dataset.manifest.recipe["dataset"])
    except QmendError as error:
        raise QmendError(
            f"The champion, version {version.number}, can't be scored on {dataset.folder}: {error}"
        ) from None
    config = {"checkpoint": version.run_id, "challenger": candidate.info.run_id}
    context = Context(store, dataset)
    entry = run_evaluation(context, model, provenance, config)
    return ScoredCircuits(entry.scores, context.scored.circuit_id, context.scored.job_id)


def _dataset(candidate: MlflowRun, version: Version) -> Dataset:
    """The data that the candidate was trained on, from where they lay then.

    Raises:
        QmendError: if they are not there any more.
    """
    wanted = candidate.data.tags["dataset_sha"]
    used = candidate.inputs.dataset_inputs if candidate.inputs else []
    sources = {json.loads(entry.dataset.source)["uri"] for entry in used}
    for source in sorted(sources):
        try:
            dataset = load_dataset(Path(source))
        except QmendError:
            continue
        if dataset.manifest.dataset_sha == wanted:
            return dataset
    raise QmendError(
        f"The champion, version {version.number}, was scored on other data than run "
        f"{candidate.info.run_id}, whose dataset {candidate.data.tags['dataset']} (hash {wanted}) "
        f"is not in {' or '.join(sorted(sources)) or 'any known folder'} any more; generate it "
        "there again with `qmend data generate`."
    )
