"""The calibrations that a dataset is made with: ``conf/dataset/calibrations/*.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qmend.config.model import ConfigModel
from qmend.devices.calibration import Calibration
from qmend.devices.drift import DriftConfig, drifted
from qmend.devices.randomized import RandomizedConfig, randomized


class SnapshotConfig(ConfigModel):
    """``conf/dataset/calibrations/snapshot.yaml``: the device's own snapshot and no other."""

    name: Literal["snapshot"] = "snapshot"


CalibrationsConfig = Annotated[
    SnapshotConfig | DriftConfig | RandomizedConfig, Field(discriminator="name")
]


def dated_calibrations(
    config: SnapshotConfig | DriftConfig | RandomizedConfig, base: Calibration, seed: int
) -> tuple[Calibration, ...]:
    """The calibrations of a config, in the order of their times, which all differ.

    Every random number belongs to a physical qubit, a pair of them, or the whole device, so
    that ``restrict`` before or after gives equal values. With the same seed, asking for more
    leaves the first ones as they are.

    Args:
        base: the device's snapshot, whole or restricted to a layout.
        seed: the same seed gives the same calibrations.
    """
    if isinstance(config, DriftConfig):
        return drifted(config, base, seed)
    if isinstance(config, RandomizedConfig):
        return randomized(config, base, seed)
    return (base,)
