"""The MLflow model registry: one registered model, a version for each run worth keeping."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from qmend.tracking.store import Store, reported

#: The registered model that all versions belong to: ``models:/qmend@champion``.
MODEL = "qmend"


def register(store: Store, run_id: str, tags: Mapping[str, str] | None = None) -> int:
    """Register a run's network; the number of its version, the present one if it has one.

    Args:
        tags: set on the version, new or not.

    Raises:
        QmendError: if the store can't be used.
    """
    with reported(store.root):
        version = _version_of(store, run_id)
        if version is None:
            _make_model(store)
            source = f"{store.client.get_run(run_id).info.artifact_uri}/model"
            version = store.client.create_model_version(MODEL, source, run_id)
        for key, value in (tags or {}).items():
            store.client.set_model_version_tag(MODEL, version.version, key, value)
    return int(version.version)


def _version_of(store: Store, run_id: str) -> ModelVersion | None:
    found = store.client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'")
    return found[0] if found else None


def _make_model(store: Store) -> None:
    try:
        store.client.create_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
