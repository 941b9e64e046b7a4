"""Configs and schema can't drift apart: every choice composes, validates and trains."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel

from qmend.config.compose import compose_config
from qmend.config.errors import validate
from qmend.config.paths import conf_dir, config_groups, study_configs
from qmend.datasets.table import Dataset
from qmend.models.base import ARCHITECTURES
from qmend.models.outline import architecture_keys
from qmend.studies import study_type
from qmend.training.data import encode
from qmend.training.losses import LOSSES
from qmend.training.train import train
from qmend.types import QmendError
from qmend.workflows import configs
from qmend.workflows.compose import COMMAND_CONFIGS, compose, compose_as
from qmend.workflows.data_config import CommonConfig

STUDIES = {f"study/{path.stem}": study_type(path.stem) for path in study_configs()}
ROOTS = {**COMMAND_CONFIGS, **STUDIES}


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


def groups() -> list[str]:
    return sorted(config_groups(conf_dir()))


def choices(root: str) -> Iterator[tuple[str, str]]:
    """(key of the override, group) for each choice that a root config offers."""
    yield from _choices(conf_dir() / f"{root}.yaml", "", "")


def _choices(path: Path, within: str, package: str) -> Iterator[tuple[str, str]]:
    for entry in yaml.safe_load(path.read_text()).get("defaults", []):
        if not isinstance(entry, dict):
            if package and entry != "_self_":  # a config of the same group
                yield from _choices(path.with_name(f"{entry}.yaml"), within, package)
            continue
        ((key, option),) = entry.items()
        if key.startswith("override ") or key == "experiment":
            continue
        group, _, at = key.removeprefix("optional ").removeprefix("/").partition("@")
        place = ".".join(part for part in (package, at or group) if part)
        if within and not key.startswith("/"):
            group = f"{within}/{group}"
        yield (group if place == group.replace("/", ".") else f"{group}@{place}"), group
        if not str(option).startswith("${"):  # one that follows another group's choice
            yield from _choices(conf_dir() / group / f"{option}.yaml", group, place)


def composed(root: str, *overrides: str) -> DictConfig:
    """The config of a command, with something for every value that has no default."""
    config = compose_config(root, list(overrides))
    for key in OmegaConf.missing_keys(config):
        OmegaConf.update(config, key, "something")
    return config


IMPORTED = ("algiers_trotter", "hardware_public")


def rows(root: str) -> Iterator[list[str]]:
    """Overrides of a command that together hold every option of every group at least once.

    Each row chooses an option in every group; options of groups shift against each other from row
    to row, so that most pairs of neighbouring groups meet.
    """
    offered = {key: options(group) for key, group in choices(root)}
    offered.pop("tune", None)  # a search space belongs to its model
    if "dataset" in offered:  # an imported one has no parts to choose
        offered["dataset"] = [name for name in offered["dataset"] if name not in IMPORTED]
    parts = {key: offered.pop(key) for key in list(offered) if key.startswith("dataset/")}
    yield from _shifted(offered)
    if root == "generate":  # the parts of a dataset are the same for every command
        yield from _shifted(parts)


def _shifted(offered: Mapping[str, list[str]]) -> Iterator[list[str]]:
    for row in range(max(map(len, offered.values()), default=1)):
        yield [
            f"{key}={names[(row + shift) % len(names)]}"
            for shift, (key, names) in enumerate(offered.items())
        ]


CASES = [
    pytest.param(root, row, id=f"{root} {number}")
    for root in ROOTS
    for number, row in enumerate(rows(root))
]


@pytest.fixture(autouse=True)
def _clean_hydra() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()


def test_every_root_config_has_a_schema() -> None:
    found = [*conf_dir().glob("*.yaml"), *conf_dir().glob("study/*.yaml")]
    assert {str(p.relative_to(conf_dir()).with_suffix("")) for p in found} == {*ROOTS, "base"}


def test_every_group_is_offered_by_a_root_config() -> None:
    offered = {group for root in ROOTS for _, group in choices(root)}
    assert offered | {"experiment", "study"} == set(groups())


@pytest.mark.parametrize(("root", "overrides"), CASES)
def test_options_compose_and_validate(root: str, overrides: list[str]) -> None:
    if "dataset=worlds" in overrides and "online" in composed(root, *overrides):
        overrides = [*overrides, "online.circuits=9600"]  # whole jobs of 96
    config = validate(ROOTS[root], composed(root, *overrides))
    if root in ("guard", "report", "references"):  # of a network, runs or a circuit, not of data
        return
    assert isinstance(config, CommonConfig)
    assert config.dataset_folder.parent == Path("data/collected" if root == "collect" else "data")


@pytest.mark.parametrize("name", IMPORTED)
def test_an_imported_dataset(name: str) -> None:
    evaluated = validate(configs.EvaluateConfig, composed("evaluate", f"dataset={name}"))
    assert evaluated.dataset_folder == Path("data") / name
    with pytest.raises(QmendError, match=r"dataset\.circuits: unknown key"):
        validate(
            ROOTS["study/published_noise"], composed("study/published_noise", f"dataset={name}")
        )


@pytest.mark.parametrize("root", ROOTS)
def test_every_field_is_written_in_the_configs(root: str) -> None:
    plain = OmegaConf.to_container(composed(root), resolve=True)
    assert isinstance(plain, dict)
    assert sorted(_fields(validate(ROOTS[root], composed(root)))) == sorted(_leaves(plain))


def _fields(model: BaseModel, prefix: str = "") -> Iterator[str]:
    for name in type(model).model_fields:
        yield from _field(getattr(model, name), prefix + name)


def _field(value: object, name: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from _fields(value, f"{name}.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _field(item, f"{name}.{key}")
    else:
        yield name


def _leaves(plain: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_changes_the_config_that_it_belongs_to(name: str) -> None:
    text = (conf_dir() / "experiment" / f"{name}.yaml").read_text()
    root = "demo" if "trainings" in yaml.safe_load(text) else "train"
    plain = composed(root)
    changed = composed(root, f"experiment={name}")
    validate(ROOTS[root], changed)
    assert changed != plain
    longest = 40 if name.endswith("_tuned") else 25  # a search sets all that it searched
    assert len(text.splitlines()) < longest, "an experiment is a small diff"


def test_the_paper_s_recipe() -> None:
    config = validate(configs.TrainConfig, composed("train", "experiment=pauli_perceiver"))
    assert (config.model.name, config.loss.name) == ("perceiver", "kl")
    assert config.optimizer.weight_decay == 9.13e-3
    assert config.optimizer.schedule == "plateau"


def test_an_experiment_can_be_changed_on_the_command_line() -> None:
    config = composed("train", "experiment=pauli_perceiver", "model.width=32", "loss=l1")
    assert config.model.width == 32
    assert config.loss.name == "l1"


def test_every_architecture_and_loss_has_a_config() -> None:
    names = {group: _names(group) for group in ("model", "loss")}
    assert names["model"] == set(ARCHITECTURES)
    assert names["loss"] == set(LOSSES)


def test_the_configs_of_an_architecture_write_all_its_fields() -> None:
    fields = {name: set(kind.config_type.model_fields) for name, kind in ARCHITECTURES.items()}
    assert architecture_keys() == fields


def _names(group: str) -> set[str]:
    found = set()
    for option in options(group):
        text = (conf_dir() / group / f"{option}.yaml").read_text()
        match = re.search(r"^name: (\w+)$", text, re.MULTILINE)
        assert match
        found.add(match.group(1))
    return found


#: Models of the paper's size, 30 to 45 million parameters, are trained narrower here: a step
#: of theirs takes minutes and gigabytes. tests/models/test_parameter_counts.py builds and runs
#: them at full size on the meta device.
NARROWER = {
    "perceiver_paper_pauli": ["model.width=16", "model.latents=4"],
    "perceiver_paper_random": ["model.width=16", "model.latents=4"],
}


#: Every model, every loss: a loss sees distributions alone, whichever model they come from.
PAIRS = list(zip(options("model"), itertools.cycle(options("loss")), strict=False))


def test_every_loss_is_in_a_pair() -> None:
    assert {loss for _, loss in PAIRS} == set(options("loss"))


@pytest.mark.parametrize(("model", "loss"), PAIRS)
def test_every_model_and_every_loss_trains(tiny: Dataset, model: str, loss: str) -> None:
    overrides = [f"model={model}", f"loss={loss}", "trainer=tiny", "trainer.max_epochs=1"]
    overrides += ["trainer.threads=1", *NARROWER.get(model, [])]
    config = validate(configs.TrainConfig, composed("train", *overrides))
    trained = train(config, encode(config, tiny))
    assert {name: len(values) for name, values in trained.history.items()} == {
        "train/loss": 1,
        "val/loss": 1,
        "val/l1rc_median": 1,
    }
    assert all(np.isfinite(values).all() for values in trained.history.values())
    mitigated = trained.model.mitigate(tiny.part("test").circuits)
    assert mitigated.shape == tiny.part("test").ideal.shape
    assert (mitigated >= 0).all()
    np.testing.assert_allclose(mitigated.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("option", options("trainer"))
@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", "constant"])
def test_every_trainer_trains_with_every_schedule(
    tiny: Dataset, option: str, schedule: str
) -> None:
    overrides = [f"trainer={option}", f"optimizer.schedule={schedule}", "trainer.max_epochs=2"]
    config = validate(
        configs.TrainConfig, composed("train", *overrides, "model=blind_mlp", "trainer.patience=1")
    )
    trained = train(config, encode(config, tiny))
    assert len(trained.history["val/loss"]) == 2


@pytest.mark.parametrize("run_id", ["123456", "1234e7", "007"])
def test_an_id_that_looks_like_a_number_stays_an_id(run_id: str) -> None:
    assert compose("train", [f"checkpoint={run_id}"]).checkpoint == run_id
    assert compose("report", [f"runs=parent={run_id}"]).runs == f"parent={run_id}"
    study = compose_as(study_type("hardware"), "study/hardware", [f"checkpoint={run_id}"])
    assert list(study.checkpoint) == [run_id]
