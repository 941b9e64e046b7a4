"""Default values stand in conf alone; a config made in code gets them from there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from pydantic.fields import FieldInfo

import qmend
from qmend.config.compose import preset_values
from qmend.config.model import ConfigModel
from qmend.datasets.config import SplitConfig
from qmend.models.base import ARCHITECTURES
from qmend.noise.config import FittedConfig, SurrogateConfig
from qmend.training.config import OptimizerConfig, TrainerConfig

#: Numerics make these in code, where nothing may be composed; for others absence has a meaning.
APART = {"SurrogateConfig", "FittedConfig", "RandomizedNoise", "DeviceConfig", "TrainingConfig"}


def configs() -> Iterator[type[ConfigModel]]:
    for module in pkgutil.walk_packages(qmend.__path__, "qmend."):
        if not module.name.startswith(("qmend.benchmarks", "qmend.cli", "qmend.importing")):
            importlib.import_module(module.name)
    waiting = [ConfigModel]
    while waiting:
        below = waiting.pop().__subclasses__()
        yield from (kind for kind in below if kind.__module__.startswith("qmend."))
        waiting += below


def valued(field: FieldInfo) -> bool:
    """Whether a field has a default value of its own, other than a type's tag or absence."""
    tag = field.default == getattr(field.annotation, "__args__", (None,))[0]
    return not field.is_required() and field.default is not None and not tag


def test_a_value_stands_in_code_or_in_conf() -> None:
    both = []
    for kind in configs():
        place = kind.preset({"name": "none"}) if kind.__name__ not in APART else None
        if place is None or kind.__name__ in APART:
            continue
        both += [f"{kind.__name__}.{n}" for n, f in kind.model_fields.items() if valued(f)]
    assert not both


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_model_made_in_code_is_that_of_its_config(name: str) -> None:
    made = ARCHITECTURES[name].config_type.model_validate({"name": name})
    assert made.plain() == preset_values(f"train model={name}", "model")


def test_what_is_given_wins() -> None:
    trainer = TrainerConfig.of(max_epochs=3)
    assert trainer.max_epochs == 3
    assert trainer.batch_size == preset_values("train", "trainer")["batch_size"]
    assert OptimizerConfig.of().model_dump() == preset_values("train", "optimizer")
    assert SplitConfig.of(by="time", train=0.6, val=0.2).test == 0.2


def test_the_surrogate_in_code_is_that_of_its_config() -> None:
    surrogate = preset_values("generate dataset/noise=surrogate_hardware", "dataset.noise")
    assert SurrogateConfig(name="surrogate_hardware").model_dump() == surrogate
    assert FittedConfig.preset({}) is None
