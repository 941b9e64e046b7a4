"""The best earlier run of an architecture on a dataset, for a search to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.runs.scoring import Context

_KINDS = ("train", "trial", "cell")
#: Runs that are looked at, the newest.
_MOST = 200


def best_earlier(
    context: Context, architecture: str, encoding: str, loss: str, metric: str, without: str
) -> tuple[str, Mapping[str, Any]] | None:
    """Id and config of the finished run with the lowest validation value; None if there is none.

    The test split has no say in it.

    Args:
        loss: only runs with it are compared where the metric is the loss.
        without: id of a search whose own trials do not count.
    """
    sha = context.dataset.manifest.dataset_sha
    found = context.store.runs(
        f"tags.architecture = '{architecture}' and tags.encoding = '{encoding}' and "
        f"tags.dataset_sha = '{sha}' and attributes.status = 'FINISHED'",
        limit=_MOST,
    )
    values = []
    for run in found:
        tags = run.data.tags
        same = metric != "val/loss" or tags.get("loss") == loss
        if tags.get("kind") in _KINDS and tags.get(MLFLOW_PARENT_RUN_ID) != without and same:
            history = context.store.client.get_metric_history(run.info.run_id, metric)
            if history:
                values.append((min(entry.value for entry in history), run))
    for _, run in sorted(values, key=lambda pair: pair[0]):
        config = _config(context, run)
        if config is not None:
            return run.info.run_id, config
    return None


def _config(context: Context, run: MlflowRun) -> Mapping[str, Any] | None:
    try:
        path = context.store.client.download_artifacts(run.info.run_id, "config.yaml")
        config = yaml.safe_load(Path(path).read_text())
    except (MlflowException, OSError, yaml.YAMLError):
        return None
    return config if isinstance(config, dict) else None
