"""A checkpoint gives the same network back, or one sentence why not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qmend.encodings import ENCODINGS
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.tracking.run import start_run
from qmend.training.checkpoint import (
    checkpoint_folder,
    load_checkpoint,
    resolve_checkpoint,
    save_checkpoint,
)
from qmend.types import QmendError

SIZES = {"latents": 2, "width": 8, "depth": 1, "cross_heads": 2, "self_heads": 2}
MODELS = [
    {"name": "blind_mlp", "width": 8},
    {"name": "perceiver", **SIZES, "head": "correction", "dropout": 0.3},
    {"name": "physics_perceiver", **SIZES, "basis": "probability"},
]
PROVENANCE = {
    "run_id": "abc",
    "dataset_sha": "0123",
    "loss": "kl",
    "seed": 3,
    "metrics": {"x": 0.5},
}


def network(tiny, fields: dict) -> TrainedModel:
    """A network with random weights and a fitted encoding."""
    config = model_config(fields)
    encoding = ENCODINGS[config.encoding]().fit(tiny.part("train").circuits)
    dimensions = Dimensions.of(encoding(tiny.part("val").circuits))
    torch.manual_seed(0)
    model = build_model(config, dimensions)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return TrainedModel(model, config, dimensions, encoding)


@pytest.fixture(scope="module")
def checkpoint(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, network(tiny, MODELS[2]), PROVENANCE)
    return folder


@pytest.fixture
def copied(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


@pytest.mark.parametrize("fields", MODELS, ids=lambda m: m["name"])
def test_the_round_trip_gives_equal_outputs(tiny, tmp_path, fields):
    """Calibrations other than the training ones, so that the standardisation matters."""
    model = network(tiny, fields)
    save_checkpoint(tmp_path / "new" / "folder", model, PROVENANCE)
    again, provenance = load_checkpoint(tmp_path / "new" / "folder")
    assert not again.network.training
    circuits = tiny.part("test").circuits
    np.testing.assert_array_equal(again.mitigate(circuits), model.mitigate(circuits))
    assert provenance == PROVENANCE
    assert (again.config, again.dimensions) == (model.config, model.dimensions)
    assert again.encoding.to_json() == model.encoding.to_json()
    assert again.parameters == model.parameters


def test_it_holds_no_pickle(checkpoint):
    assert {p.name for p in checkpoint.iterdir()} == {"model.safetensors", "model.json"}
    assert load_file(checkpoint / "model.safetensors").keys()
    assert json.loads((checkpoint / "model.json").read_text())["checkpoint_version"] == 2


def edit(folder: Path, change) -> None:
    data = json.loads((folder / "model.json").read_text())
    change(data)
    (folder / "model.json").write_text(json.dumps(data))


def edit_weights(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), r"is no checkpoint: model\.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), r"no checkpoint: model\.safetensors is mi"),
        (lambda f: shutil.rmtree(f), "is no checkpoint"),
        (lambda f: (f / "model.json").write_text("{"), r"model\.json is damaged"),
        (lambda f: (f / "model.json").write_text("[]"), r"model\.json is damaged"),
        (
            lambda f: edit(f, lambda d: d.update(checkpoint_version=1)),
            "has checkpoint version 1, this package reads 2; train the model again",
        ),
        (
            lambda f: edit(f, lambda d: d["encoding"].update(version=9)),
            "trained with version 9 of the token encoding",
        ),
        (
            lambda f: edit(f, lambda d: d["config"].update(width=16)),
            "weights in .* do not fit their description",
        ),
        (
            lambda f: edit(f, lambda d: d["config"].update(wdith=16)),
            "weights in .* do not fit their description",
        ),
        (
            lambda f: edit(f, lambda d: d["config"].update(name="graph")),
            "unknown architecture 'graph'",
        ),
        (
            lambda f: edit(f, lambda d: d["dimensions"].update(token=12)),
            "weights in .* do not fit their description",
        ),
        (
            lambda f: edit(f, lambda d: d["dimensions"].update(layers=12)),
            "weights in .* do not fit their description",
        ),
        (
            lambda f: edit_weights(f, lambda w: w.pop("survival.bias")),
            "weights in .* do not fit their description",
        ),
        (
            lambda f: edit_weights(f, lambda w: w.update(extra=torch.zeros(1))),
            "weights in .* do not fit their description",
        ),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 50),
            "weights in .* do not fit their description",
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(copied, damage, message):
    damage(copied)
    with pytest.raises(QmendError, match=message) as caught:
        load_checkpoint(copied)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["checkpoint_version", "config", "dimensions", "encoding", "provenance"]
)
def test_a_missing_part_is_one_sentence(copied, key):
    edit(copied, lambda d: d.pop(key))
    with pytest.raises(QmendError):
        load_checkpoint(copied)


@pytest.mark.parametrize("key", ["name", "version", "state", "typical"])
def test_a_missing_part_of_the_encoding_is_one_sentence(copied, key):
    edit(copied, lambda d: d["encoding"].pop(key))
    with pytest.raises(QmendError):
        load_checkpoint(copied)


def test_first_digits_of_a_run_are_its_id(checkpoint, store, tmp_path, monkeypatch):
    """As `qmend runs list` prints them; a directory of that name comes first."""
    monkeypatch.chdir(tmp_path)
    with (
        start_run(store, "first digits", {"kind": "train"}, {}) as run,
        run.artifact_folder("model") as folder,
    ):
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    head = run.run_id[:8]
    assert resolve_checkpoint(store, head) == run.run_id
    model, _ = load_checkpoint(checkpoint_folder(store, head))
    assert model.config.name == "physics_perceiver"
    (tmp_path / head).mkdir()
    assert resolve_checkpoint(store, head) == head


def test_digits_of_no_run_and_other_words(store):
    with pytest.raises(QmendError, match=r"no run's id begins with '0123ab'"):
        checkpoint_folder(store, "0123ab")
    with pytest.raises(QmendError, match="checkpoint=nowhere is neither a folder nor first digits"):
        checkpoint_folder(store, "nowhere")
