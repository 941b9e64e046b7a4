"""The base of all configs of calibrations that a dataset is made with."""

from __future__ import annotations

from abc import ABC, abstractmethod

from qmend.config.model import ConfigModel
from qmend.devices.calibration import Calibration


class DrawnCalibrations(ConfigModel, ABC):
    """Draws calibrations from a device's own, and tells how far a dataset shows them."""

    @abstractmethod
    def draw(self, base: Calibration, seed: int) -> tuple[Calibration, ...]:
        """Draw the true calibrations, in the order of their times."""

    def report(self, calibration: Calibration, seed: int, number: int) -> Calibration | None:
        """Return what the ``number``-th true calibration shows of itself; None: nothing."""
        return calibration
