"""The calibrations that a dataset is made with: ``conf/dataset/calibrations/*.yaml``.

Each config draws them with ``draw(base, seed)`` from the device's own snapshot, whole or restricted
to a layout, in the order of their times, which all differ. Every random number belongs to a
physical qubit, a pair of them, or the whole device: ``restrict`` before or after gives equal
values. With the same seed, asking for more leaves the first ones as they are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qmend.devices.calibration import Calibration
from qmend.devices.drawn import DrawnCalibrations
from qmend.devices.drift import DriftConfig
from qmend.devices.randomized import RandomizedConfig


class SnapshotConfig(DrawnCalibrations):
    """``conf/dataset/calibrations/snapshot.yaml``: the device's own snapshot and no other."""

    name: Literal["snapshot"] = "snapshot"

    def draw(self, base: Calibration, seed: int) -> tuple[Calibration, ...]:
        """Return the snapshot alone."""
        return (base,)


CalibrationsConfig = Annotated[
    SnapshotConfig | DriftConfig | RandomizedConfig, Field(discriminator="name")
]
