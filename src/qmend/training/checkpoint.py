"""The checkpoint contract: ``model.safetensors`` and ``model.json`` in one directory."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from qmend.config.spellings import current_form, stable_form
from qmend.encodings import Encoding
from qmend.files import file_sha256
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.tracking.finding import all_runs, find_run
from qmend.tracking.registry import registered_run
from qmend.tracking.store import Store
from qmend.types import QmendError

#: Rises with every change of the format; another version is refused.
CHECKPOINT_VERSION = 2
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
#: Name of the network that the package ships, and its directory.
PRETRAINED = "pretrained"
PRETRAINED_FOLDER = Path(__file__).resolve().parents[1] / PRETRAINED


class Checkpoint(NamedTuple):
    """A trained network, and where it comes from: dataset hash, loss, seed, metrics."""

    model: TrainedModel
    provenance: dict[str, Any]


def save_checkpoint(folder: Path, model: TrainedModel, provenance: dict[str, Any]) -> None:
    """Write a network's weights and description.

    Args:
        provenance: plain values, see :class:`Checkpoint`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_file(model.network.state_dict(), folder / WEIGHTS)
    except SafetensorError as error:
        raise QmendError(
            f"Could not write {folder / WEIGHTS} ({error}); free some space, then run the same "
            "command again."
        ) from None
    description = {
        "checkpoint_version": CHECKPOINT_VERSION,
        "architecture": model.config.name,
        "config": stable_form(model.config.model_dump(mode="json"), "model"),
        "dimensions": asdict(model.dimensions),
        "encoding": model.encoding.to_json(),
        "provenance": provenance,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, sort_keys=True) + "\n")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a network and its provenance.

    Raises:
        QmendError: if a file is missing or damaged, or belongs to another version.
    """
    for name in (WEIGHTS, DESCRIPTION):
        if not (folder / name).exists():
            raise QmendError(f"{folder} is no checkpoint: {name} is missing; check the path.")
    try:
        data = json.loads((folder / DESCRIPTION).read_text())
        version = data["checkpoint_version"]
    except (ValueError, KeyError, TypeError):
        raise QmendError(f"{folder / DESCRIPTION} is damaged; train the model again.") from None
    if version != CHECKPOINT_VERSION:
        raise QmendError(
            f"{folder} has checkpoint version {version}, this package reads "
            f"{CHECKPOINT_VERSION}; train the model again."
        )
    try:
        config = model_config(current_form(data["config"], "model"))
        dimensions = Dimensions(**data["dimensions"])
        network = build_model(config, dimensions)
        network.load_state_dict(load_file(folder / WEIGHTS))
        encoding = Encoding.from_json(data["encoding"])
        provenance = data["provenance"]
    except (ValueError, RuntimeError, SafetensorError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise QmendError(
            f"The weights in {folder} do not fit their description ({reason}); train it again."
        ) from None
    network.eval()
    return Checkpoint(TrainedModel(network, config, dimensions, encoding), provenance)


def resolve_checkpoint(store: Store, model: str) -> str:
    """Resolve ``models:/qmend@champion``, ``models:/qmend/3`` or first digits to a run's id.

    ``pretrained`` gets digits of the hash of its weights. Any other name is returned as it is. An
    alias moves, digits can come to name several, and another version of the package may ship other
    weights: a run must log the network that it meant.

    Raises:
        QmendError: if the registry has no such version, the digits name no single run, or the
            package ships no network.
    """
    if model == PRETRAINED:
        return _pretrained()
    if model.startswith("models:/"):
        return registered_run(store, model)
    if re.fullmatch(r"[0-9a-f]{1,31}", model) and not Path(model).is_dir():
        return str(find_run(all_runs(store), model).info.run_id)
    return model


def checkpoint_folder(store: Store, model: str) -> Path:
    """Find a model's directory by its path, run id or registered version.

    Raises:
        QmendError: if it is none of them.
    """
    model = resolve_checkpoint(store, model)
    if model.startswith(f"{PRETRAINED}-"):
        if model != _pretrained():
            raise QmendError(
                f"{model} is the network of another version of this package, which ships "
                f"{_pretrained()}; install that version, or give checkpoint={PRETRAINED}."
            )
        return PRETRAINED_FOLDER
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[0-9a-f]{32}", model):
        raise QmendError(
            f"checkpoint={model} is neither a folder nor first digits of a run's id nor a "
            f"registered model (models:/qmend@champion) nor {PRETRAINED}; `qmend runs list` lists "
            "the runs."
        )
    try:
        folder = store.artifact(store.client.get_run(model), "model")
    except MlflowException:
        folder = None
    if folder is None or not folder.is_dir():
        raise QmendError(
            f"The store {store.root} has no run {model} with a model; `qmend runs list` "
            "lists the runs."
        )
    return folder


def _pretrained() -> str:
    """Name the shipped network with digits of the hash of its weights.

    Raises:
        QmendError: if there is none.
    """
    weights = PRETRAINED_FOLDER / WEIGHTS
    if not weights.exists():
        raise QmendError(
            "This package ships no network; train one with `qmend train "
            "experiment=worlds_operator`, or give a run's id."
        )
    return f"{PRETRAINED}-{file_sha256(weights)[:12]}"
