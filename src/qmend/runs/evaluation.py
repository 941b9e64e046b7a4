"""Score trained networks on unseen data, one tracked run each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qmend.datasets.manifest import Manifest
from qmend.metrics import l1rc, median_l1rc
from qmend.mitigation.ablated import AblatedMitigator
from qmend.mitigation.base import Mitigator
from qmend.mitigation.ensemble import Ensemble
from qmend.mitigation.guard import Guard
from qmend.mitigation.learned import GuardedMitigator, LearnedMitigator
from qmend.models.trained import TrainedModel
from qmend.runs.reading import ScoredRun
from qmend.runs.scoring import Context, ScoredSplit, open_run, prepare_data, score_run
from qmend.runs.training import head
from qmend.types import Ablation, QmendError

#: Tag of a run that scored a network with its guard: the guard's hash.
GUARD_TAG = "guard"


def check_unseen(
    model: TrainedModel,
    provenance: Mapping[str, Any],
    dataset: Mapping[str, Any],
    split: ScoredSplit = "test",
) -> None:
    """Refuse data that the model does not fit or may have seen.

    A circuit follows from its dataset's seed and its place in it: equal seeds give equal
    circuits, in equal splits only if size, jobs and shares are equal too. A fine-tuned model has
    also seen what its ancestors were trained on.

    Circuits that were simulated during a training are no further case: their seeds derive from
    the dataset's and the training's, not as those of any dataset's circuits do, and what coincided
    with the validation and test splits of that dataset was redrawn.

    Args:
        dataset: the dataset's part of its recipe.

    Raises:
        QmendError: naming what differs.
    """
    n_qubits = dataset["family"]["n_qubits"]
    if not all(model.mitigates(n_qubits, m) for m in dataset.get("measured_qubits") or [n_qubits]):
        raise QmendError(
            f"The model was trained on {model.dimensions.n_qubits} qubits, all measured, the "
            f"dataset has {n_qubits}; choose a dataset and layout of the same size that measures "
            "all of them."
        )
    for network in (provenance, *provenance.get("ancestors", ())):
        if isinstance(network.get("recipe"), Mapping):
            _check_recipe(network["recipe"], dataset, split)


def check_unseen_measurements(
    provenance: Mapping[str, Any], manifest: Manifest, split: ScoredSplit = "test"
) -> None:
    """Refuse imported rows that a model or its ancestors may have been fine-tuned on.

    Records are known by their file: the same circuits in another file are not recognized.

    Args:
        manifest: of the dataset; one that was not imported passes.

    Raises:
        QmendError: naming the way out.
    """
    if manifest.origin != "imported":
        return
    records = manifest.recipe["imported"]["input"]["sha256"]
    for network in (provenance, *provenance.get("ancestors", ())):
        if network.get("imported") != records:
            continue
        if network["dataset_sha"] != manifest.dataset_sha:
            raise QmendError(
                f"The model was fine-tuned on another import of the records of {manifest.name}, "
                f"{network['dataset']}, whose splits may differ; choose that one."
            )
        if split != "test":
            raise QmendError(
                f"{manifest.name} holds circuits that the model was fine-tuned on; choose "
                "scored_split=test, or a model that was not."
            )


def _check_recipe(
    trained: Mapping[str, Any], dataset: Mapping[str, Any], split: ScoredSplit
) -> None:
    """Refuse a dataset whose scored split holds circuits that were trained on."""
    same = all(trained.get(key) == dataset.get(key) for key in ("family", "seed"))
    if same and split != "test":
        raise QmendError(
            f"scored_split={split} holds circuits that the model was trained on (the same "
            f"dataset.seed, {dataset['seed']}); choose scored_split=test, or another dataset.seed "
            "and dataset.name."
        )
    for key in ("circuits", "job_size", "split"):
        if same and trained.get(key) != dataset.get(key):
            raise QmendError(
                f"The model was trained on circuits of the same dataset.seed ({dataset['seed']}) "
                f"but another dataset.{key}, so that the test split holds circuits it has seen; "
                "choose another dataset.seed and dataset.name."
            )


def run_evaluation(
    context: Context,
    model: TrainedModel,
    provenance: Mapping[str, Any],
    config: Mapping[str, Any],
    name: str | None = None,
    guard: Guard | None = None,
    ablation: Ablation = "standard",
) -> ScoredRun:
    """Score a trained network, as one run that names the network's own run.

    Args:
        name: of its row in a table; None: that of the architecture.
        guard: of the network, with which it may abstain.
        ablation: which part of its input comes from other circuits.
    """
    name = name or model.config.name
    tags = {"architecture": model.config.name, **_provenance_tags(model, provenance)}
    context = prepare_data(context, model, guard)
    mitigator: Mitigator = LearnedMitigator(model)
    if guard is not None:
        mitigator = GuardedMitigator(LearnedMitigator(model), guard)
        tags |= {GUARD_TAG: guard.sha}
    return _evaluate(context, name, name, mitigator, tags, config, ablation)


def run_ensemble(
    context: Context,
    members: Sequence[tuple[TrainedModel, Mapping[str, Any]]],
    config: Mapping[str, Any],
    ablation: Ablation = "standard",
) -> ScoredRun:
    """Score the average of trained networks, as one run that names them all.

    Args:
        members: each network with its provenance.
        ablation: which part of their input comes from other circuits.

    Raises:
        QmendError: if they can't be averaged.
    """
    ensemble = Ensemble([LearnedMitigator(model) for model, _ in members])
    each = [_provenance_tags(model, provenance) for model, provenance in members]
    tags = {key: "+".join(dict.fromkeys(tags[key] for tags in each)) for key in each[0]}
    name = f"ensemble of {len(members)}"
    kinds = "+".join(dict.fromkeys(model.config.name for model, _ in members))
    tags = {"architecture": ensemble.name, **tags}
    context = prepare_data(context, members[0][0])
    return _evaluate(context, name, f"{name} {kinds}", ensemble, tags, config, ablation)


def _provenance_tags(model: TrainedModel, provenance: Mapping[str, Any]) -> dict[str, str]:
    return {
        "head": head(model.config),
        "loss": str(provenance.get("loss", "unknown")),
        "encoding": model.config.encoding,
        "seed": str(provenance.get("seed", "unknown")),
        "checkpoint_run": str(provenance.get("run_id", "unknown")),
    }


def _evaluate(
    context: Context,
    name: str,
    network: str,
    mitigator: Mitigator,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
    ablation: Ablation,
) -> ScoredRun:
    """Score a mitigator on the context's split.

    With the test split it is scored on the validation split too, by which the best of several
    models is chosen, as after a training.

    Args:
        name: of its row in a table.
        network: first words of the run's name, before seed and data.
    """
    if ablation != "standard":
        mitigator, tags = AblatedMitigator(mitigator, ablation), {**tags, "ablation": ablation}
    history: dict[str, list[float]] = {}
    run_name = f"{network} seed {tags['seed']} on {context.dataset.folder.name}"
    with open_run(context, run_name, {"kind": "evaluation", **tags}, config) as run:
        if context.split == "test" and (context.dataset.split == "val").any():
            changes = [
                l1rc(part.ideal, part.circuits.noisy, mitigator.mitigate(part.circuits))
                for part in context.dataset.parts("val")
            ]
            history["val/l1rc_median"] = [median_l1rc(np.concatenate(changes))]
            run.metrics({"val/l1rc_median": history["val/l1rc_median"][0]})
        return score_run(run, context, name, mitigator, 0.0, history)
