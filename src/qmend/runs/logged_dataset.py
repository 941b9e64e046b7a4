"""Find the dataset that a run used, wherever it lies now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlflow.entities import Run as MlflowRun

from qmend.datasets.manifest import MANIFEST, read_manifest
from qmend.datasets.table import Dataset, load_dataset
from qmend.tracking.store import Store
from qmend.types import QmendError


def logged_dataset(
    store: Store, run: MlflowRun, roots: Sequence[Path], n_qubits: int | None = None
) -> Dataset:
    """Load the dataset with the hash that a run logged.

    Args:
        roots: directories of datasets to look in, beside where it lay.
        n_qubits: only its circuits of this size.

    Raises:
        QmendError: if it is nowhere there.
    """
    sha, name = (str(run.data.tags.get(key, "?")) for key in ("dataset_sha", "dataset"))
    inputs = store.client.get_run(run.info.run_id).inputs
    logged = inputs.dataset_inputs if inputs else []
    before = sorted({Path(json.loads(each.dataset.source).get("uri", ".")) for each in logged})
    below = [path.parent for root in roots for path in sorted(root.glob(f"*/{MANIFEST}"))]
    for folder in (*before, *below):
        if (folder / MANIFEST).exists() and read_manifest(folder).dataset_sha == sha:
            return load_dataset(folder, n_qubits)
    device = run.data.params.get("device.name", "...")
    raise QmendError(
        f"the dataset {name} with the hash {sha} is not in "
        f"{' or '.join(str(folder) for folder in (*before, *roots))} any more; make it with "
        "`dvc repro`, or with "
        f"`qmend data generate dataset={name} device={device}` where that is its config, then run "
        "this again."
    )
