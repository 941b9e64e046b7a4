"""dvc.yaml and the configs can't drift apart: a stage depends on just the configs that it reads."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from dvc.repo import Repo
from hydra._internal.config_repository import ConfigRepository
from omegaconf import OmegaConf

from qmend.config.compose import compose_config
from qmend.config.errors import validate
from qmend.workflows.configs import GenerateConfig

ROOT = Path(__file__).resolve().parents[2]


def stages() -> dict[str, tuple[str, list[str], list[str]]]:
    """Name -> command, dependencies, outputs, as DVC itself resolves them."""
    with Repo(str(ROOT)) as repo:
        found = [s for s in repo.index.stages if s.cmd]
        return {
            s.addressing: (
                s.cmd,
                sorted(str(Path(d.fs_path).relative_to(ROOT)) for d in s.deps),
                [str(Path(o.fs_path).relative_to(ROOT)) for o in s.outs],
            )
            for s in found
        }


STAGES = stages()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths of the configs that Hydra has loaded, relative to the repository."""
    paths: set[str] = set()
    load = ConfigRepository.load_config

    def recorded(self: ConfigRepository, config_path: str):
        result = load(self, config_path)
        if result is not None and result.provider == "main":
            paths.add(f"conf/{config_path.removesuffix('.yaml')}.yaml")
        return result

    monkeypatch.setattr(ConfigRepository, "load_config", recorded)
    return paths


def test_every_dataset_of_the_presets_has_a_stage():
    folders = {out for _, _, outs in STAGES.values() for out in outs}
    assert {"data/demo_algiers", "data/pauli_reference_algiers"} <= folders
    assert {"data/pauli_surrogate_algiers", "data/pauli_published_algiers"} <= folders
    assert len([f for f in folders if f.startswith("data/small_")]) == 14
    assert len([f for f in folders if f.startswith("data/paper/")]) == 4


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_just_what_it_reads(name, read):
    command, dependencies, outputs = STAGES[name]
    program, *overrides = shlex.split(command)
    assert (program, *overrides[:2]) == ("qmend", "data", "generate")
    plain = compose_config("generate", overrides[2:])
    config = validate(GenerateConfig, OmegaConf.create(plain))
    assert outputs == [str(config.dataset_folder)]
    assert config.data.replace  # `dvc repro` after a change of config overwrites
    assert sorted(read) == dependencies


def test_presets_are_as_large_as_they_say():
    def preset(*overrides: str) -> GenerateConfig:
        return validate(GenerateConfig, compose_config("generate", list(overrides)))

    for name in ("pauli_reference", "pauli_surrogate"):
        dataset = preset(f"dataset={name}").dataset
        assert (dataset.circuits, dataset.job_size, dataset.shots) == (60_000, 300, 20_000)
        family = dataset.family
        assert (family.gadgets, family.gadgets_min, family.gadgets_max) == ("exact", 3, 9)
        assert dataset.compiler.optimization_level == 1
        shares = dataset.split
        assert (shares.train, shares.val, shares.test) == (0.7, 0.1, 0.2)
    total = sum(
        preset(*shlex.split(command)[3:]).dataset.circuits
        for name, (command, _, _) in STAGES.items()
        if "data/paper" in name
    )
    assert total == 192_000
    paper = preset("dataset=paper").dataset
    counts = [paper.family.stratum(k).gadgets_max for k in range(paper.circuits)]
    assert all(counts.count(t) == 8_000 for t in (3, 4, 5, 6, 7, 9))
    assert (paper.split.train, paper.split.val, paper.split.test) == (0.5, 0.125, 0.375)
    assert preset("dataset=small").dataset.circuits == 12_000
