"""The whole config of each command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from qmend.datasets.config import CollectionConfig, DatasetConfig
from qmend.devices.device import DeviceConfig
from qmend.evaluation.tracked import TrainingConfig
from qmend.studies.published_noise import PublishedNoiseConfig


class DataConfig(BaseModel):
    """Where datasets lie, what makes them, whether they may be overwritten.

    Attributes:
        executor: ``local``: ``workers`` processes here; ``ray``: the cluster at ``ray_address``.
        ray_address: null: the cluster that RAY_ADDRESS names, else one started here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    root: Path
    workers: int = Field(2, ge=1, le=256)
    replace: bool = False
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None


class TrackingConfig(BaseModel):
    """Folder of the MLflow store."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    root: Path


class CommonConfig(BaseModel):
    """What every command with data has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    data: DataConfig
    device: DeviceConfig
    dataset: DatasetConfig
    tracking: TrackingConfig

    @property
    def dataset_folder(self) -> Path:
        """``<data.root>/<dataset.name>_<device.name>``."""
        return self.data.root / f"{self.dataset.name}_{self.device.name}"


class GenerateConfig(CommonConfig):
    """``conf/generate.yaml``."""


class CollectConfig(CommonConfig):
    """``conf/collect.yaml``."""

    collect: CollectionConfig


class VerifyConfig(CommonConfig):
    """``conf/verify.yaml``."""

    sample: int = Field(50, ge=1)


class ShowOptions(BaseModel):
    """Which folder, and where the page goes; null: see ``conf/show.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    folder: Path | None = None
    page: Path | None = None


class ShowConfig(CommonConfig):
    """``conf/show.yaml``."""

    show: ShowOptions = ShowOptions()


class EvaluateConfig(CommonConfig):
    """``conf/evaluate.yaml``."""

    checkpoint: str


class TrainConfig(CommonConfig, TrainingConfig):
    """``conf/train.yaml``; ``experiment`` only overrides."""

    seed: int = Field(0, ge=0)


class DemoConfig(CommonConfig):
    """``conf/demo.yaml``."""

    seed: int = Field(0, ge=0)
    report: Path
    trainings: dict[str, TrainingConfig] = Field(min_length=1)


class PublishedNoiseStudyConfig(CommonConfig, TrainingConfig, PublishedNoiseConfig):
    """``conf/study/published_noise.yaml``."""

    seed: int = Field(0, ge=0)
