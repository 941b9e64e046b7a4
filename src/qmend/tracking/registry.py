"""The MLflow model registry: one registered model, a version for each run worth keeping."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)

from qmend.files import lock
from qmend.tracking.display import figure_tags
from qmend.tracking.finding import logged_figure, scored_split
from qmend.tracking.store import Store, explain_errors
from qmend.types import QmendError

#: The registered model that all versions belong to: ``models:/qmend@champion``.
MODEL = "qmend"
#: Alias of the version that nothing has beaten yet.
CHAMPION = "champion"
_DESCRIPTION = (
    "Networks that undo hardware noise in measured distributions. "
    f"The alias {CHAMPION} marks the version that none has beaten."
)
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes:
        run_id: the run whose network it is.
        created: when it was registered, UTC.
    """

    number: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created: datetime


def register(store: Store, run_id: str, tags: Mapping[str, str] | None = None) -> int:
    """Register a run's network, unless it has a version; return that.

    The version gets the run's figures as tags, and a description unless a person wrote one.

    Args:
        tags: further ones, set on the version, new or not.

    Raises:
        QmendError: if the store can't be used.
    """
    with explain_errors(store.root):
        run = store.client.get_run(run_id)
        version = _version_of(store, run_id)
        if version is None:
            _make_model(store)
            version = store.client.create_model_version(
                MODEL, f"{run.info.artifact_uri}/model", run_id
            )
        figures = _figures(run)
        if not version.description:
            store.client.update_model_version(MODEL, version.version, _description(run, figures))
        if figures:  # MLflow's list cuts tags after 25 characters; the description has the rest
            figures["L1RC"] = figures["L1RC"].partition(" ")[0]
        for key, value in {**figures, **(tags or {})}.items():
            if version.tags.get(key) != value:
                store.client.set_model_version_tag(MODEL, version.version, key, value)
    return int(version.version)


def _figures(run: MlflowRun) -> dict[str, str]:
    """Write the figures of a run; empty if it was not scored."""
    each = [logged_figure(run, name) for name in ("l1rc_median", "improved_pct", "harmed_pct")]
    change, improved, harmed = each
    if change is None or improved is None or harmed is None:
        return {}
    return figure_tags(change, improved.value, harmed.value)


def _description(run: MlflowRun, figures: Mapping[str, str]) -> str:
    tags = run.data.tags
    network = [tags.get("architecture", "unknown architecture")]
    network += [f"{key} {tags[key]}" for key in ("loss", "seed") if key in tags]
    text = f"{', '.join(network)}; trained on {tags.get('dataset')} of {tags.get('device')}."
    if figures:
        text += (
            f" On the {scored_split(run)} split: median L1RC {figures['L1RC']}, "
            f"{figures['improved']} of the circuits improved, {figures['harmed']} harmed."
        )
    return text


def versions(store: Store) -> list[Version]:
    """List all versions, newest first.

    Raises:
        QmendError: if the store can't be used.
    """
    with explain_errors(store.root):
        try:
            aliases = store.client.get_registered_model(MODEL).aliases
        except MlflowException as error:
            if _is(error, RESOURCE_DOES_NOT_EXIST):
                return []
            raise
        registered = store.client.search_model_versions(f"name = '{MODEL}'")
    return sorted(
        (
            Version(
                int(v.version),
                str(v.run_id),
                tuple(sorted(a for a, number in aliases.items() if int(number) == int(v.version))),
                dict(v.tags),
                datetime.fromtimestamp(v.creation_timestamp / 1000, UTC),
            )
            for v in registered
        ),
        key=lambda version: -version.number,
    )


def champion(store: Store) -> Version | None:
    """Return the version with the alias :data:`CHAMPION`, or None."""
    return next((v for v in versions(store) if CHAMPION in v.aliases), None)


def crown(store: Store, number: int) -> None:
    """Move the alias :data:`CHAMPION` to a version."""
    with explain_errors(store.root):
        store.client.set_registered_model_alias(MODEL, CHAMPION, str(number))


@contextmanager
def promoting(store: Store) -> Iterator[None]:
    """Hold the lock of promotions: each is compared with the present champion."""
    store.folder.mkdir(parents=True, exist_ok=True)
    with lock(store.folder / ".promotion.lock"):
        yield


def registered_run(store: Store, uri: str) -> str:
    """Return the run id behind ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises:
        QmendError: if there is none, or the store can't be used.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise QmendError(
            f"{uri} is not of the form models:/{MODEL}@{CHAMPION} or models:/{MODEL}/3; "
            "`qmend models list` lists the versions."
        )
    name, alias, number = parts["name"], parts["alias"], parts["version"]
    with explain_errors(store.root):
        try:
            if alias:
                return str(store.client.get_model_version_by_alias(name, alias).run_id)
            return str(store.client.get_model_version(name, number).run_id)
        except MlflowException as error:
            if not _is(error, RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE):
                raise
    raise QmendError(
        f"The registry of {store.root} has no {uri}; `qmend models list` lists the versions."
    )


def _version_of(store: Store, run_id: str) -> ModelVersion | None:
    query = f"name = '{MODEL}' and run_id = '{run_id}'"
    return next(iter(store.client.search_model_versions(query)), None)


def _make_model(store: Store) -> None:
    try:
        store.client.create_registered_model(MODEL, description=_DESCRIPTION)
    except MlflowException as error:
        if not _is(error, RESOURCE_ALREADY_EXISTS):
            raise


def _is(error: MlflowException, *codes: int) -> bool:
    return error.error_code in [ErrorCode.Name(code) for code in codes]
