"""Check a collection's config; open its ledger, or compare with the one of the first call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qmend.datasets.collected import check_same
from qmend.datasets.config import CollectionConfig, DatasetConfig, collected_recipe, recipe_sha
from qmend.datasets.ledger import LEDGER, Ledger
from qmend.datasets.manifest import package_versions
from qmend.devices.device import DeviceConfig, check_usable, resolve
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.types import QmendError

#: Circuits that one job may have.
MAX_JOB_SIZE = 300


def check_config(dataset: DatasetConfig, device: DeviceConfig, config: CollectionConfig) -> None:
    """Refuse a config that gives no job.

    Raises:
        QmendError: if device, layout, job size or shots don't fit.
    """
    needed = {"runtime": "runtime", "local": "fake"}[config.execution]
    if device.provider != needed:
        raise QmendError(
            f"collect.execution={config.execution} needs a device with provider={needed}, and "
            f"{device.name} has provider={device.provider}; choose another device, or "
            f"collect.execution={'local' if config.execution == 'runtime' else 'runtime'}."
        )
    length = len(device.layout) or device.n_qubits
    if dataset.family.n_qubits != length:
        raise QmendError(
            f"dataset.family.n_qubits is {dataset.family.n_qubits}, but device.layout has {length} "
            "qubits; make the two equal."
        )
    randomizations = dataset.twirling.randomizations
    if (dataset.job_size + config.references) * max(1, randomizations) > MAX_JOB_SIZE:
        more = f" with {config.references} references" if config.references else ""
        more += f" in {randomizations} randomizations each" if randomizations else ""
        raise QmendError(
            f"dataset.job_size={dataset.job_size}{more} is more than the {MAX_JOB_SIZE} circuits "
            "of a job; choose a smaller one."
        )
    shots = dataset.fixed_shots()
    if dataset.qubits is not None:
        raise QmendError(
            "dataset.qubits draws the number of qubits of each job, and a collection has one; use "
            "dataset.qubits=null."
        )
    if randomizations and shots % randomizations:
        raise QmendError(
            f"dataset.shots={shots} is no multiple of dataset.twirling.randomizations="
            f"{randomizations}, and all circuits of a job on hardware have equal shots; choose "
            f"dataset.shots={shots // randomizations * randomizations}."
        )


@dataclass(frozen=True)
class OpenCollection:
    """A collection whose ledger is open.

    Attributes:
        device: as the first call resolved it; a later one may find another calibration.
        folder: the dataset's directory.
    """

    dataset: DatasetConfig
    device: DeviceConfig
    folder: Path
    config: CollectionConfig
    ledger: Ledger

    @property
    def recipe(self) -> dict[str, Any]:
        assert self.ledger.opening is not None
        recipe: dict[str, Any] = self.ledger.opening["recipe"]
        return recipe

    @cached_property
    def sha(self) -> str:
        """Hash of the recipe, which marks the shards and the jobs."""
        return recipe_sha(self.recipe)

    @property
    def setup(self) -> GenerationSetup:
        return generation_setup(self.dataset, self.device)


def open_collection(
    dataset: DatasetConfig, device: DeviceConfig, folder: Path, config: CollectionConfig
) -> OpenCollection:
    """Open the ledger at the first call, or check that it is this collection's.

    Raises:
        QmendError: if the folder holds other data or another collection, or a gate of the
            device's layout is faulty.
    """
    ledger, begun = Ledger(folder), collected_recipe(dataset, device)
    if ledger.opening is None:
        others = [p for p in folder.iterdir() if p.name != LEDGER]
        if others:
            raise QmendError(
                f"{folder} holds other data ({others[0].name}); give yours another dataset.name or "
                "data.root."
            )
        resolved = resolve(device)
        generation_setup(dataset, resolved)  # raises before the ledger is opened
        check_usable(resolved)
        recipe = collected_recipe(dataset, resolved)
        recipe["collection"] = {"execution": config.execution, "backend": device.backend}
        if config.references:  # recipes without any are as they ever were
            recipe["collection"]["references"] = config.references
        ledger.append("opened", asked=begun, recipe=recipe, packages=package_versions())
    check_same(ledger, begun, folder)
    assert ledger.opening is not None
    recipe = ledger.opening["recipe"]
    before = recipe["collection"]["execution"]
    if before != config.execution:
        raise QmendError(
            f"{folder} was begun with collect.execution={before}; go on with that, or give the "
            "dataset another name."
        )
    references = recipe["collection"].get("references", 0)
    if references != config.references:
        raise QmendError(
            f"{folder} was begun with collect.references={references}; go on with that, or give "
            "the dataset another name."
        )
    resolved = DeviceConfig.model_validate(recipe["device"])
    return OpenCollection(dataset, resolved, folder, config, ledger)
