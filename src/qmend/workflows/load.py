"""Load a mitigator by name."""

from __future__ import annotations

from pathlib import Path

from qmend.mitigation.counts import CountsMitigator
from qmend.mitigation.guard import Guard
from qmend.mitigation.learned import GuardedMitigator, LearnedMitigator
from qmend.training.checkpoint import (
    PRETRAINED,
    PRETRAINED_FOLDER,
    WEIGHTS,
    checkpoint_folder,
    load_checkpoint,
)


def load(name: str | Path, root: str | Path | None = None) -> CountsMitigator:
    """Load a trained network as a mitigator for counts of Qiskit circuits.

    With its guard, if it has one: :func:`qmend.guard` makes it.

    Args:
        name: ``pretrained``, the network that the package ships; a registered model
            (``models:/qmend@champion``), first digits of a run's id, or a directory with
            ``model.safetensors`` and ``model.json``.
        root: directory or server of the tracking store, by default where ``MLFLOW_TRACKING_URI``
            says, else ``mlruns``; not needed for a directory.

    Raises:
        QmendError: if there is no such network, or it can't be read.
    """
    folder = PRETRAINED_FOLDER if name == PRETRAINED else Path(name)
    if not folder.is_dir():
        from qmend.tracking.store import open_store  # imports MLflow

        folder = checkpoint_folder(open_store(root), str(name))
    model, provenance = load_checkpoint(folder)
    network, guard = LearnedMitigator(model), Guard.beside(folder / WEIGHTS)
    mitigator = network if guard is None else GuardedMitigator(network, guard)
    return CountsMitigator(mitigator, provenance)
