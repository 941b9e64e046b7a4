"""The best earlier run of an architecture on a dataset, for a search to start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from qmend.runs.scoring import Context
from qmend.tracking.store import Store
from qmend.training.config import TrainingConfig

_KINDS = ("train", "trial", "cell")
#: Newest runs that are considered.
_MOST = 200


def best_earlier(
    context: Context, training: TrainingConfig, metric: str, search: str
) -> tuple[str, Mapping[str, Any]] | None:
    """Find the finished run with the lowest validation value; return id and config.

    The test split is not used. None without such a run.

    Args:
        training: architecture and encoding to look for; its loss too, where that is the metric.
        search: id of a search whose own trials do not count.
    """
    model = training.model
    query = (
        f"tags.architecture = '{model.name}' and tags.encoding = '{model.encoding}' and "
        f"tags.dataset_sha = '{context.dataset.manifest.dataset_sha}' and "
        "attributes.status = 'FINISHED'"
    )
    if metric == "val/loss":
        query += f" and tags.loss = '{training.loss.name}'"
    values = []
    for run in context.store.runs(query, limit=_MOST):
        tags = run.data.tags
        if tags.get("kind") in _KINDS and tags.get(MLFLOW_PARENT_RUN_ID) != search:
            history = context.store.client.get_metric_history(run.info.run_id, metric)
            if history:
                values.append((min(entry.value for entry in history), run))
    for _, run in sorted(values, key=lambda pair: pair[0]):
        config = _config(context.store, run)
        if config is not None:
            return run.info.run_id, config
    return None


def _config(store: Store, run: MlflowRun) -> Mapping[str, Any] | None:
    try:
        config = yaml.safe_load(store.artifact(run, "config.yaml").read_text())
    except (OSError, yaml.YAMLError):
        return None
    return config if isinstance(config, dict) else None
