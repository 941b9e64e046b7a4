"""Device, compiler, calibrations and noise that all jobs of a simulated dataset share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from qmend.circuits.compilation import Compiler, build_compiler
from qmend.datasets.config import DatasetConfig
from qmend.devices.calibration import Calibration
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.noise.base import Executor, Noise
from qmend.noise.config import NoiseConfig


@dataclass(frozen=True)
class GenerationSetup:
    """Device, compiler and calibrations, which all jobs of a dataset share.

    Attributes:
        calibrations: the snapshots that jobs cycle through, restricted to the layout.
    """

    dataset: DatasetConfig
    device: Device
    calibrations: tuple[Calibration, ...]
    compiler: Compiler

    def calibration(self, job: int) -> Calibration:
        """Return the snapshot that a job runs under."""
        return self.calibrations[job % len(self.calibrations)]

    def times(self) -> list[datetime]:
        """Return the time at which each job runs."""
        return [self.calibration(job).time for job in range(self.dataset.jobs)]

    def noise(self, job: int) -> Noise:
        """Build the noise that a job runs under, once a snapshot."""
        noise = _executor(self, job % len(self.calibrations), "ptm")
        assert isinstance(noise, Noise)
        return noise

    def aer(self, job: int) -> Executor | None:
        """Build Aer's simulation of a job; None for noise that its device model lacks."""
        snapshot = job % len(self.calibrations)
        return self.noise_config(snapshot).build_aer(
            self.calibrations[snapshot], self.device.layout
        )

    def executor(self, job: int) -> Executor:
        """Build the dataset's executor of a job, once a snapshot.

        Raises:
            QmendError: if the executor can't simulate the noise.
        """
        return _executor(self, job % len(self.calibrations), self.dataset.simulator)

    def noise_config(self, snapshot: int) -> NoiseConfig:
        """Return a snapshot's noise; a randomized device has coherent errors of its own."""
        noise: NoiseConfig = self.dataset.noise
        randomized = self.calibrations[snapshot].device != self.device.name
        return noise.of_device(snapshot) if randomized else noise


@lru_cache(maxsize=2)
def generation_setup(dataset: DatasetConfig, device: DeviceConfig) -> GenerationSetup:
    """Load device, compiler and calibrations of a dataset, once a process.

    Raises:
        QmendError: if they do not fit each other.
    """
    chain = load_device(device)
    compiler = build_compiler(
        dataset.compiler.name,
        chain.n_qubits,
        chain.native_gates,
        chain.edges,
        dataset.compiler.optimization_level,
    )
    calibrations = dataset.calibrations.draw(chain.calibration, dataset.seed)
    return GenerationSetup(dataset, chain, calibrations, compiler)


@lru_cache(maxsize=256)
def _executor(setup: GenerationSetup, snapshot: int, simulator: str) -> Executor:
    config, calibration = setup.noise_config(snapshot), setup.calibrations[snapshot]
    return config.executor(simulator, calibration, setup.device.layout)
