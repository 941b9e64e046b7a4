"""dvc.yaml and the configs can't drift apart: a stage depends on just the configs of its data."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from dvc.output import Output
from dvc.repo import Repo
from hydra._internal.config_repository import ConfigRepository
from omegaconf import OmegaConf

from qmend.cli.commands import COMMANDS
from qmend.config.compose import compose_config, preset_values
from qmend.config.errors import validate
from qmend.datasets.dvc_lock import directory_hash
from qmend.importing.rows import ImportOptions
from qmend.workflows.configs import GenerateConfig

ROOT = Path(__file__).resolve().parents[2]


def relative(parts: Iterable[Output]) -> list[str]:
    return sorted(str(Path(part.fs_path).relative_to(ROOT)) for part in parts)


def stages() -> dict[str, tuple[str, list[str], list[str]]]:
    """Name -> command, dependencies, outputs, as DVC itself resolves them."""
    with Repo(str(ROOT)) as repo:
        found = {s.addressing: s for s in repo.index.stages if s.cmd}
        for stage in found.values():
            (version,) = stage.params
            assert relative([version]) == ["src/qmend/datasets/schema.py"]
            assert version.params == ["SCHEMA_VERSION"]
        return {
            name: (
                s.cmd,
                relative(d for d in s.deps if d not in s.params),
                relative(s.outs),
            )
            for name, s in found.items()
        }


STAGES = stages()
#: Where data and runs are kept and which processes make them: no byte of the data hangs on it.
WITHOUT_EFFECT = {"conf/base.yaml", "conf/tracking/local.yaml"}
IMPORTS = {
    name for name, (command, _, _) in STAGES.items() if command.startswith("qmend data import")
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths of the configs of data that Hydra has loaded, relative to the repository."""
    paths: set[str] = set()
    load = ConfigRepository.load_config

    def recorded(self: ConfigRepository, config_path: str):
        result = load(self, config_path)
        path = f"conf/{config_path.removesuffix('.yaml')}.yaml"
        if result is not None and result.provider == "main" and path not in WITHOUT_EFFECT:
            paths.add(path)
        return result

    monkeypatch.setattr(ConfigRepository, "load_config", recorded)
    return paths


def test_every_dataset_of_the_presets_has_a_stage():
    folders = {out for _, _, outs in STAGES.values() for out in outs}
    assert {"data/demo_algiers", "data/pauli_reference_algiers"} <= folders
    assert {"data/pauli_surrogate_algiers", "data/pauli_published_algiers"} <= folders
    assert len([f for f in folders if f.startswith("data/small_")]) == 14
    assert len([f for f in folders if f.startswith("data/paper/")]) == 4


@pytest.mark.parametrize("name", [name for name in STAGES if name not in IMPORTS])
def test_a_stage_depends_on_just_the_configs_of_its_data(name, read):
    command, dependencies, outputs = STAGES[name]
    program, *overrides = shlex.split(command)
    assert (program, *overrides[:2]) == ("qmend", "data", "generate")
    plain = compose_config("generate", overrides[2:])
    config = validate(GenerateConfig, OmegaConf.create(plain))
    assert outputs == [str(config.dataset_folder)]
    assert config.data.replace  # `dvc repro` after a change of config overwrites
    assert sorted(read) == dependencies


@pytest.mark.parametrize("name", ["algiers_trotter", "hardware_public"])
def test_an_import_depends_on_its_tables_and_the_configs_of_its_split(name, read):
    command, dependencies, outputs = STAGES[name]
    (words,) = [c for c in COMMANDS if c.words == "data import"]
    options = words.parser.read(shlex.split(command)[3:])
    assert outputs == [str(options.root / options.name)] == [f"data/{name}"]
    assert options.replace
    preset_values.cache_clear()
    ImportOptions(options.name)
    folder = options.file.parent
    assert sorted([*read, str(folder)]) == dependencies
    assert (ROOT / options.file).is_file()
    assert list((ROOT / folder / "licences").iterdir())


@pytest.mark.parametrize("name", ["algiers_trotter", "hardware_public"])
def test_the_lock_has_the_hash_of_the_dataset_in_git(name):
    (out,) = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"][name]["outs"]
    assert out["md5"] == directory_hash(ROOT / "data" / name)


def test_the_lock_is_of_the_present_configs():
    """Else `dvc repro` in a clone would make every dataset anew."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"].values()
    recorded = {(dep["path"], dep["md5"]) for stage in stages for dep in stage["deps"]}
    files = {(path, md5) for path, md5 in recorded if (ROOT / path).is_file()}
    assert {path for path, _ in files} > {"conf/generate.yaml", "conf/device/algiers.yaml"}
    for path, md5 in files:
        assert hashlib.md5((ROOT / path).read_bytes()).hexdigest() == md5, path


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
