"""The part of a config that all commands with data have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from qmend.config.model import CommandConfig, ConfigModel
from qmend.datasets.config import DatasetConfig, ImportedDatasetConfig
from qmend.devices.device import DeviceConfig
from qmend.tracking.location import store_root
from qmend.types import QmendError


class DataConfig(ConfigModel):
    """Where datasets lie, what makes them, whether they may be overwritten.

    Attributes:
        executor: ``local``: ``workers`` processes here; ``ray``: the cluster at ``ray.address``.
    """

    preset_at = ("generate", "data")
    root: Path
    workers: int = Field(ge=1, le=256)
    replace: bool
    executor: Literal["local", "ray"]


class RayConfig(ConfigModel):
    """Where Ray's cluster is; null: where RAY_ADDRESS says, else one is started here."""

    address: str | None


class TrackingConfig(ConfigModel):
    """The MLflow store: a directory, or the address of a server."""

    root: Annotated[Path | str, BeforeValidator(store_root)]


def dataset_folder(plain: Mapping[str, Any]) -> Path:
    """Name the directory of the dataset of a whole config."""
    dataset, device = plain["dataset"], plain["device"]
    suffix = "" if "imported" in dataset else f"_{device['name']}"
    return Path(plain["data"]["root"]) / f"{dataset['name']}{suffix}"


class CommonConfig(CommandConfig):
    """Fields of the config of every command with data."""

    data: DataConfig
    device: DeviceConfig
    dataset: DatasetConfig | ImportedDatasetConfig
    tracking: TrackingConfig
    ray: RayConfig

    @field_validator("dataset", mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            kind = ImportedDatasetConfig if "imported" in value else DatasetConfig
            return kind.model_validate(value)
        return value

    @property
    def simulated(self) -> DatasetConfig:
        """The dataset's config, where it is one that can be generated.

        Raises:
            QmendError: if it is imported.
        """
        if isinstance(self.dataset, ImportedDatasetConfig):
            raise QmendError(
                f"dataset={self.dataset.name} was imported from measurements and can't be "
                "generated; score a model on it with `qmend evaluate`, and make it again with "
                "`qmend data import`."
            )
        return self.dataset

    @property
    def dataset_folder(self) -> Path:
        """``<data.root>/<dataset.name>_<device.name>``, without a device where imported."""
        return dataset_folder(self.plain())
