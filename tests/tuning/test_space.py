"""Search spaces: every one that ships gives valid models; wrong ones are refused in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import optuna
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from qmend.config.compose import compose_config
from qmend.config.errors import validate
from qmend.config.nested import flatten
from qmend.config.paths import conf_dir
from qmend.models.base import ARCHITECTURES, Dimensions, build_model
from qmend.tuning.proposals import suggest
from qmend.tuning.space import SearchSpace, base_values, with_values
from qmend.types import QmendError
from qmend.workflows.configs import TrainConfig, TuneCommandConfig

SAMPLES = 200
BASE: dict[str, Any] = {
    "model": {"name": "tf", "encoding": "paper", "width": 64, "heads": 4, "depth": 2},
    "loss": {"name": "l1"},
    "optimizer": {"lr": 1e-3, "schedule": "one_cycle"},
    "trainer": {"max_epochs": 5, "patience": None, "threads": 1},
}
LR = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}


def sample(space: SearchSpace, base: Mapping[str, Any], number: int, seed: int = 0) -> list[dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.draw(partial(suggest, study.ask()), base_values(base)) for _ in range(number)]


def tune_config(model: str) -> dict[str, Any]:
    try:
        composed = compose_config("tune", [f"model={model}"])
    finally:
        GlobalHydra.instance().clear()
    validate(TuneCommandConfig, composed)
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    return plain


def test_a_model_without_a_space_of_its_own_has_the_common_one() -> None:
    """Such as the paper's large Perceivers: optimizer, loss and trainer are varied."""
    space = tune_config("perceiver_paper_pauli")["tune"]["space"]
    own = {path.stem for path in (conf_dir() / "tune").glob("*.yaml")}
    assert own <= set(ARCHITECTURES)
    assert {key for key, values in space.items() if values} == {"loss", "optimizer", "trainer"}


@pytest.mark.parametrize("model", sorted(ARCHITECTURES))
def test_what_a_shipped_space_gives_can_be_trained(model: str) -> None:
    """As `qmend train` checks it, and as a network of the size that the data ask for."""
    plain = tune_config(model)
    own = {k: v for k, v in plain.items() if k != "tune"}
    space = SearchSpace.parse(plain["tune"]["space"], own)
    values = sample(space, own, SAMPLES)
    seen: dict[str, set[Any]] = {}
    for drawn in values:
        config = TrainConfig.model_validate(with_values(own, drawn))
        build_model(config.model, Dimensions(n_qubits=5, token=25, context=101))
        for key, value in drawn.items():
            assert space.parameters[key].contains(value)
            seen.setdefault(key, set()).add(value)
    # Every key, and both ends' halves of it, can come up.
    assert set(seen) == set(space.parameters)
    for key, parameter in space.parameters.items():
        if parameter.choices is not None:
            assert seen[key] == set(parameter.choices)
        else:
            low, high = parameter.range
            middle = (low * high) ** 0.5 if parameter.log else (low + high) / 2
            assert min(seen[key]) < middle < max(seen[key])


def test_a_condition_decides_whether_a_key_is_varied() -> None:
    raw = {
        "trainer": {
            "patience": {
                "type": "int",
                "low": 2,
                "high": 9,
                "condition": {"optimizer.schedule": "plateau"},
            }
        },
        "optimizer": {"schedule": {"type": "categorical", "choices": ["one_cycle", "plateau"]}},
    }
    space = SearchSpace.parse(raw, BASE)
    assert tuple(space.parameters) == ("optimizer.schedule", "trainer.patience")
    drawn = sample(space, BASE, 60)
    for values in drawn:
        assert ("trainer.patience" in values) == (values["optimizer.schedule"] == "plateau")
    assert {len(values) for values in drawn} == {1, 2}
    kept = with_values(BASE, next(v for v in drawn if len(v) == 1))
    assert kept["trainer"]["patience"] is None


def test_a_multiple_is_one_whatever_the_heads() -> None:
    raw = {
        "model.width": {"type": "int", "low": 10, "high": 50, "multiple_of": "model.heads"},
        "model.heads": {"type": "categorical", "choices": [2, 3, 8]},
    }
    space = SearchSpace.parse(raw, BASE)
    for values in sample(space, BASE, 100):
        assert values["model.width"] % values["model.heads"] == 0
        assert 10 <= values["model.width"] <= 50


def test_a_config_projected_on_a_space_lies_in_it() -> None:
    raw = {
        "optimizer.lr": LR,
        "loss": {"type": "categorical", "choices": ["kl", "l1"]},
        "model.width": {"type": "int", "low": 16, "high": 48, "step": 16},
    }
    space = SearchSpace.parse(raw, BASE)
    other = with_values(BASE, {"optimizer.lr": 0.5, "loss": "hellinger", "model.width": 37})
    assert space.project(other) == {"optimizer.lr": 1e-2, "model.width": 32}
    own = space.project(BASE)
    assert own == {"optimizer.lr": 1e-3, "loss": "l1", "model.width": 48}
    params = {key: str(value) for key, value in flatten(with_values(BASE, own)).items()}
    assert space.read(params) == own
    assert with_values(BASE, {"loss": "kl"})["loss"] == {"name": "kl"}
    assert BASE["loss"] == {"name": "l1"}


def test_a_space_as_json_says_all_of_each_parameter() -> None:
    raw = {"optimizer.lr": {**LR, "condition": {"loss": "l1"}}}
    assert SearchSpace.parse(raw, BASE).to_json() == {
        "optimizer.lr": {
            "type": "float",
            "low": 1e-4,
            "high": 1e-2,
            "log": True,
            "condition": {"loss": ["l1"]},
        }
    }


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ({}, ["tune.space is empty"]),
        ({"model": {"widht": LR}}, ["model.widht: unknown key", "Did you mean 'model.width'?"]),
        ({"optimizer.lr": 3}, ["optimizer.lr must be a parameter"]),
        ({"optimizer.lr": {"low": 1, "high": 2}}, ["optimizer.lr needs a type"]),
        ({"optimizer.lr": {**LR, "hihg": 3}}, ["hihg: unknown key", "Did you mean 'high'?"]),
        ({"optimizer.lr": {**LR, "type": "flaot"}}, ["Did you mean 'float'?"]),
        ({"optimizer.lr": {**LR, "high": 1e-5}}, ["low below high"]),
        ({"optimizer.lr": {**LR, "low": 0}}, ["positive ends"]),
        ({"loss": {"type": "categorical"}}, ["needs choices"]),
        ({"loss": {"type": "categorical", "choices": ["l1"], "low": 1}}, ["no range"]),
        ({"model.width": {"type": "int", "low": 1.5, "high": 4}}, ["whole numbers"]),
        ({"trainer.max_epochs": {"type": "int", "low": 1, "high": 4}}, ["set trainer.max_epochs"]),
        ({"model.name": {"type": "categorical", "choices": ["a"]}}, ["keeps the architecture"]),
        ({"optimizer.lr": {**LR, "condition": {"los": "l1"}}}, ["los: unknown key"]),
        ({"optimizer.lr": {**LR, "condition": {"optimizer.lr": 1}}}, ["depends on itself"]),
    ],
)
def test_a_wrong_space_is_one_sentence(raw: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(QmendError) as refused:
        SearchSpace.parse(raw, BASE)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.startswith("tune.space")
    for part in parts:
        assert part in sentence
