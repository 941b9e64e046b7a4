"""Configs of datasets and collections, and the recipes made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from qmend.circuits.families import Family, build_family
from qmend.config.model import ConfigModel
from qmend.config.spellings import current_form, stable_form
from qmend.devices.device import DeviceConfig
from qmend.devices.snapshots import CalibrationsConfig
from qmend.noise.config import AnyNoise, NoiseConfig, read_noise
from qmend.portable import exp, log
from qmend.types import QmendError

Shots = Annotated[int, Field(ge=1)]
#: Ends the key of a job's random numbers; those of circuits have no such end.
_SIZE, _SHOTS, _MEASURED = (0, 0, 4), (0, 0, 5), (0, 0, 3)


class CompilerConfig(ConfigModel):
    """``qiskit``: its preset passes at ``optimization_level``; ``direct``: our own compiler
    for Pauli gadgets, which has no levels."""

    preset_at = ("generate", "dataset.compiler")
    name: Literal["qiskit", "direct"]
    optimization_level: int = Field(ge=0, le=3)


class TwirlingConfig(ConfigModel):
    """Random compilations of each circuit, which share its shots.

    Attributes:
        randomizations: compilations with random Paulis around the two-qubit gates; 0: the circuit
            as compiled.
    """

    preset_at = ("generate", "dataset.twirling")
    randomizations: int = Field(ge=0)


class SplitConfig(ConfigModel):
    """Shares of the jobs, drawn at random or by time (the earliest jobs train)."""

    preset_at = ("generate", "dataset.split")
    by: Literal["job", "time"]
    train: float = Field(gt=0, lt=1)
    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

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
        qubits: numbers of qubits, of which each job draws one for its circuits, the first of the
            layout; the more often one is listed, the likelier. None: the family's.
        shots: a circuit; or least and greatest number, drawn for each job, log-uniform.
        measured_qubits: least and greatest number of measured qubits, drawn for each job and at
            most its number of qubits; which, for each circuit. None: all are measured.
        seed: every circuit has its own, derived from this one.
        calibrations: the snapshots that jobs cycle through.
    """

    preset_at = ("generate", "dataset")
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    family: Family
    circuits: int = Field(ge=1)
    job_size: int = Field(ge=1)
    jobs_per_shard: int = Field(ge=1)
    qubits: tuple[Annotated[int, Field(ge=1)], ...] | None
    shots: Shots | tuple[Shots, Shots]
    measured_qubits: tuple[int, int] | None
    seed: int = Field(ge=0)
    compiler: CompilerConfig
    twirling: TwirlingConfig
    simulator: Literal["aer", "ptm"]
    noise: AnyNoise
    calibrations: CalibrationsConfig
    split: SplitConfig

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
        least, most = self.shots_range
        if not least <= most:
            raise ValueError(f"shots must be a number or [least, most], not [{least}, {most}]")
        if self.twirling.randomizations > least:
            raise ValueError(
                f"twirling.randomizations ({self.twirling.randomizations}) share the shots of a "
                f"circuit, of which there are fewer ({least}); raise shots"
            )
        return self

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        n = self.family.n_qubits
        if self.qubits is not None and max(self.qubits, default=0) != n:
            raise ValueError(f"the largest of qubits must be {n}, the family's n_qubits")
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
        if self.measured_qubits is None:
            return [n] if self.qubits is None else sorted(set(self.qubits))
        least, most = self.measured_qubits
        fewest = n if self.qubits is None else min(self.qubits)
        return list(range(min(least, fewest), most + 1))

    @property
    def shots_range(self) -> tuple[int, int]:
        """Least and greatest number of shots."""
        return self.shots if isinstance(self.shots, tuple) else (self.shots, self.shots)

    def fixed_shots(self) -> int:
        """Return the number of shots of every circuit.

        Raises:
            QmendError: if it is drawn.
        """
        if isinstance(self.shots, tuple):
            raise QmendError(
                f"dataset.shots={list(self.shots)} is a range, and one number is needed here; give "
                "one."
            )
        return self.shots

    def draw_n_qubits(self, job: int) -> int:
        """Draw the number of qubits of a job's circuits."""
        if self.qubits is None:
            return self.family.n_qubits
        return int(self._generator(job, _SIZE).choice(self.qubits))

    def draw_n_measured(self, job: int) -> int:
        """Draw the number of qubits that a job's circuits measure."""
        n = self.draw_n_qubits(job)
        if self.measured_qubits is None:
            return n
        least, most = self.measured_qubits
        return min(n, int(self._generator(job, _MEASURED).choice(range(least, most + 1))))

    def draw_shots(self, job: int) -> int:
        """Draw the number of shots of a job's circuits."""
        least, most = self.shots_range
        if least == most:
            return least
        share = self._generator(job, _SHOTS).random()
        return round(least * float(exp(share * log(most / least))))

    def _generator(self, job: int, key: tuple[int, ...]) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(job, *key)))


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
        references: further circuits of each job, of known ideal, which are in no split.
    """

    preset_at = ("collect", "collect")
    execution: Literal["runtime", "local"]
    mode: Literal["job", "session", "batch"]
    max_retries: int = Field(ge=0)
    max_pending: int = Field(ge=1)
    poll_seconds: float = Field(ge=0)
    dry_run: bool
    finish: bool
    references: int = Field(ge=0)


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
