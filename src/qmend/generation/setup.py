"""Device, compiler, calibrations and noise that all jobs of a simulated dataset share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from qmend.circuits.compilation import Compiler, build_compiler
from qmend.circuits.families import Family
from qmend.datasets.config import CompilerConfig, DatasetConfig
from qmend.devices.calibration import Calibration
from qmend.devices.device import Device, DeviceConfig, device_from_calibration, load_device
from qmend.noise.base import Executor, Noise
from qmend.noise.config import NoiseConfig


@dataclass(frozen=True, eq=False)
class GenerationSetup:
    """Device, compiler and calibrations, which all jobs of a dataset share.

    Attributes:
        calibrations: the true snapshots that jobs cycle through, restricted to the layout.
    """

    dataset: DatasetConfig
    device: Device
    calibrations: tuple[Calibration, ...]
    compiler: Compiler

    def calibration(self, job: int) -> Calibration:
        """Return the true snapshot that a job runs under."""
        return self.calibrations[job % len(self.calibrations)]

    def reported(self, job: int) -> Calibration | None:
        """Return the snapshot that a job's circuits show; None: they show none."""
        snapshot = job % len(self.calibrations)
        config = self.dataset.calibrations
        return config.report(self.calibrations[snapshot], self.dataset.seed, snapshot)

    def all_reported(self) -> tuple[Calibration, ...]:
        """Return all snapshots that circuits show."""
        shown = (self.reported(snapshot) for snapshot in range(len(self.calibrations)))
        return tuple(calibration for calibration in shown if calibration is not None)

    def of_job(self, job: int) -> GenerationSetup:
        """Return the setup of a job's number of qubits, the first of the layout."""
        n = self.dataset.draw_n_qubits(job)
        if n == self.device.n_qubits:
            return self
        family, device, compiler = _first_qubits(
            self.dataset.family, self.dataset.compiler, self.device, n
        )
        dataset = self.dataset.model_copy(update={"family": family, "qubits": None})
        return replace(self, dataset=dataset, device=device, compiler=compiler)

    def times(self) -> list[datetime]:
        """Return the time at which each job runs."""
        return [self.calibration(job).time for job in range(self.dataset.jobs)]

    def noise(self, job: int) -> Noise:
        """Build the noise that a job runs under."""
        noise = self._executor(job, "ptm")
        assert isinstance(noise, Noise)
        return noise

    def aer(self, job: int) -> Executor | None:
        """Build Aer's simulation of a job; None for noise that its device model lacks."""
        layout = self.device.layout[: self.dataset.draw_n_qubits(job)]
        return self.noise_config(job).build_aer(self.calibration(job), layout)

    def executor(self, job: int) -> Executor:
        """Build the dataset's executor of a job.

        Raises:
            QmendError: if the executor can't simulate the noise.
        """
        return self._executor(job, self.dataset.simulator)

    def noise_config(self, job: int) -> NoiseConfig:
        """Return a job's noise; a randomized device has coherent errors of its own."""
        noise: NoiseConfig = self.dataset.noise
        randomized = self.calibration(job).device != self.device.name
        return noise.of_device(self._key(job)) if randomized or noise.constants == "draw" else noise

    def _key(self, job: int) -> int:
        """Return a number that jobs of one noise share."""
        drawn = self.dataset.noise.constants == "draw"
        return job if drawn else job % len(self.calibrations)

    def _executor(self, job: int, simulator: str) -> Executor:
        return _executor(self, self._key(job), simulator, self.dataset.draw_n_qubits(job))


@lru_cache(maxsize=16)
def _first_qubits(
    family: Family, config: CompilerConfig, device: Device, n_qubits: int
) -> tuple[Family, Device, Compiler]:
    """Make family, device and compiler of the first qubits of a layout."""
    part = device_from_calibration(device.calibration, device.layout[:n_qubits])
    return family.of_size(n_qubits), part, _compiler(config, part)


def _compiler(config: CompilerConfig, device: Device) -> Compiler:
    return build_compiler(
        config.name,
        device.n_qubits,
        device.native_gates,
        device.edges,
        config.optimization_level,
    )


@lru_cache(maxsize=2)
def generation_setup(dataset: DatasetConfig, device: DeviceConfig) -> GenerationSetup:
    """Load device, compiler and calibrations of a dataset, once a process.

    Raises:
        QmendError: if they do not fit each other.
    """
    chain = load_device(device)
    calibrations = dataset.calibrations.draw(chain.calibration, dataset.seed)
    return GenerationSetup(dataset, chain, calibrations, _compiler(dataset.compiler, chain))


@lru_cache(maxsize=256)
def _executor(setup: GenerationSetup, job: int, simulator: str, n_qubits: int) -> Executor:
    layout = setup.device.layout[:n_qubits]
    return setup.noise_config(job).executor(simulator, setup.calibration(job), layout)
