"""Configs of datasets and collections, and the recipes made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from qmend.circuits.families import Family, build_family
from qmend.config.model import ConfigModel
from qmend.config.spellings import current_form, stable_form
from qmend.devices.device import DeviceConfig
from qmend.devices.snapshots import CalibrationsConfig
from qmend.noise.config import AnyNoise, NoiseConfig, read_noise


class CompilerConfig(ConfigModel):
    """``qiskit``: its preset passes at ``optimization_level``; ``direct``: our own compiler
    for Pauli gadgets, which has no levels."""

    name: Literal["qiskit", "direct"]
    optimization_level: int = Field(ge=0, le=3)

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str]:
        return ("generate", "dataset.compiler")


class TwirlingConfig(ConfigModel):
    """Random compilations of each circuit, which share its shots.

    Attributes:
        randomizations: compilations with random Paulis around the two-qubit gates; 0: the circuit
            as compiled.
    """

    randomizations: int = Field(ge=0)

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str]:
        return ("generate", "dataset.twirling")


class SplitConfig(ConfigModel):
    """Shares of the jobs, drawn at random or by time (the earliest jobs train)."""

    by: Literal["job", "time"]
    train: float = Field(gt=0, lt=1)
    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str]:
        return ("generate", "dataset.split")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if not abs(total - 1.0) <= 1e-9:
            raise ValueError(f"train + val + test must be 1, not {total:g}")
        return self


class DatasetConfig(ConfigModel):
    """A simulated dataset.

    Attributes:
        circuits: rows in all, a multiple of ``job_size``.
        job_size: circuits a job; splits are by job.
        jobs_per_shard: jobs a Parquet file, the unit that a killed generation resumes from.
        shots: a circuit.
        measured_qubits: least and greatest number of measured qubits, drawn for each job; which,
            for each circuit. None: all are measured.
        seed: every circuit has its own, derived from this one.
        calibrations: the snapshots that jobs cycle through.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    family: Family
    circuits: int = Field(ge=1)
    job_size: int = Field(ge=1)
    jobs_per_shard: int = Field(ge=1)
    shots: int = Field(ge=1)
    measured_qubits: tuple[int, int] | None
    seed: int = Field(ge=0)
    compiler: CompilerConfig
    twirling: TwirlingConfig
    simulator: Literal["aer", "ptm"]
    noise: AnyNoise
    calibrations: CalibrationsConfig
    split: SplitConfig

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str]:
        return ("generate", "dataset")

    @field_validator("family", mode="before")
    @classmethod
    def _family(cls, value: Any) -> Family:
        return value if isinstance(value, Family) else build_family(value)

    @model_validator(mode="after")
    def _jobs(self) -> Self:
        if self.circuits % self.job_size:
            raise ValueError(
                f"circuits ({self.circuits}) must be a multiple of job_size ({self.job_size})"
            )
        if self.jobs < 3:
            raise ValueError(
                f"circuits / job_size gives {self.jobs} jobs, but the three splits need at least 3"
            )
        return self

    @model_validator(mode="after")
    def _twirling(self) -> Self:
        if self.twirling.randomizations > self.shots:
            raise ValueError(
                f"twirling.randomizations ({self.twirling.randomizations}) share the shots of a "
                f"circuit, of which there are fewer ({self.shots}); raise shots"
            )
        return self

    @model_validator(mode="after")
    def _measured(self) -> Self:
        n = self.family.n_qubits
        least, most = self.measured_qubits or (n, n)
        if not 1 <= least <= most <= n:
            raise ValueError(
                f"measured_qubits must be [least, most] with 1 <= least <= most <= {n}, the "
                "family's n_qubits"
            )
        return self

    @property
    def jobs(self) -> int:
        return self.circuits // self.job_size

    @property
    def measured_sizes(self) -> list[int]:
        """Numbers of qubits that a job may measure, ascending."""
        n = self.family.n_qubits
        least, most = self.measured_qubits or (n, n)
        return list(range(least, most + 1))


class ImportedDatasetConfig(ConfigModel):
    """A dataset that ``qmend data import`` made: it can't be generated, only read.

    Attributes:
        name: its folder below ``data.root``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    imported: bool

    @field_validator("imported")
    @classmethod
    def _is_imported(cls, value: bool) -> bool:
        if not value:
            raise ValueError("must be true; a dataset to be generated has a family instead")
        return value


class CollectionConfig(ConfigModel):
    """``collect`` of ``conf/collect.yaml``: how jobs are run on hardware.

    Attributes:
        execution: ``runtime``: IBM Quantum; ``local``: a shipped snapshot with its noise, in the
            runtime's local mode.
        mode: jobs alone, or in a session or batch.
        max_retries: how often a failed job is submitted again, and an answer asked for again.
        max_pending: jobs that wait on the service at a time.
        poll_seconds: between two looks at pending jobs, and before another try.
        dry_run: say what would be done, and submit nothing.
        finish: submit nothing, and make a dataset of the jobs that are done.
    """

    execution: Literal["runtime", "local"]
    mode: Literal["job", "session", "batch"]
    max_retries: int = Field(ge=0)
    max_pending: int = Field(ge=1)
    poll_seconds: float = Field(ge=0)
    dry_run: bool
    finish: bool

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str]:
        return ("collect", "collect")


def dataset_recipe(dataset: DatasetConfig, device: DeviceConfig) -> dict[str, Any]:
    """Collect everything that decides the data, as plain values under names that never change."""
    from qmend.datasets.schema import SCHEMA_VERSION

    configs = {
        "dataset": {**dataset.model_dump(mode="json"), "family": dataset.family.model_dump()},
        "device": device.model_dump(mode="json"),
    }
    return {"schema_version": SCHEMA_VERSION, **stable_form(configs)}


def recipe_configs(recipe: Mapping[str, Any]) -> tuple[DatasetConfig, DeviceConfig]:
    """Read the configs of a simulated dataset back from its recipe, of any age."""
    configs = current_form({key: recipe[key] for key in ("dataset", "device")})
    dataset = DatasetConfig.model_validate(configs["dataset"])
    return dataset, DeviceConfig.model_validate(configs["device"])


def recipe_noise(recipe: Mapping[str, Any]) -> NoiseConfig | None:
    """Read the noise of a simulated dataset back from its recipe; None if it has none."""
    noise = current_form(recipe.get("dataset", {}), "dataset").get("noise")
    return None if noise is None else read_noise(noise)


def collected_recipe(dataset: DatasetConfig, device: DeviceConfig) -> dict[str, Any]:
    """Collect everything that decides hardware data, as JSON reads it back."""
    recipe = dataset_recipe(dataset, device)
    for simulated in ("executor", "noise", "calibrations", "jobs_per_shard"):
        del recipe["dataset"][simulated]
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def recipe_sha(recipe: dict[str, Any]) -> str:
    """SHA-256 (first 16 hex digits) of a recipe."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Name the first value in which two recipes differ."""
    theirs, ours = _flat(there), _flat(here)
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            return f"{key} is {theirs.get(key)} there and {ours.get(key)} here"
    return "nothing but the order of keys"


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        out: dict[str, object] = {}
        for key, item in value.items():
            out.update(_flat(item, f"{prefix}.{key}" if prefix else str(key)))
        return out
    return {prefix: list(value) if isinstance(value, tuple) else value}
