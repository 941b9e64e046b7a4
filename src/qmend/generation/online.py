"""Online simulation: training circuits by the recipe of a dataset, simulated and never stored.

They have the dataset's family, device, compiler and shots, the calibrations that its training
circuits ran under, and seeds that no circuit of a dataset has. In worlds each job has a device of
its own instead. None is in its validation or test split. Circuits can also be those of a recipe's
own training split, drawn again where no dataset is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import to_chain_order
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.config import DatasetConfig
from qmend.datasets.splits import split_jobs
from qmend.datasets.table import Dataset, LabelledCircuits, unknown_calibration_of
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig
from qmend.devices.randomized import RandomizedConfig
from qmend.gates import TWO_QUBIT
from qmend.generation.execution import Execution
from qmend.generation.job import draw_job_without, simulate_job
from qmend.generation.online_noise import online_seed
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.noise.config import NoiseConfig, WorldsConfig
from qmend.types import IntArray, QmendError


@dataclass(frozen=True)
class OnlineCircuits:
    """A source of any number of circuits by a dataset's recipe.

    Attributes:
        dataset, device: the recipe; its noise is not read.
        calibrations: the snapshots that jobs cycle through.
        noise: that the circuits run under.
        seed: of circuits and shots, see :func:`online_seed`.
        held_out: ids of the instructions of circuits that must not be drawn.
        resampled: stored circuits, by size, whose noise alone is resampled; empty: circuits are
            drawn.
        again: jobs of the recipe whose circuits are drawn again in turn; empty: new ones are drawn.
        job_size: circuits of each new job; None: as many as the dataset's.
    """

    dataset: DatasetConfig
    device: DeviceConfig
    calibrations: tuple[Calibration, ...]
    noise: NoiseConfig
    seed: int
    held_out: frozenset[str]
    resampled: tuple[LabelledCircuits, ...] = ()
    again: tuple[int, ...] = ()
    job_size: int | None = None

    @staticmethod
    def of_recipe(
        dataset: DatasetConfig, device: DeviceConfig, noise: NoiseConfig, seed: int
    ) -> OnlineCircuits:
        """Simulate the circuits of a recipe's training split, which need not be stored.

        Where the noise is not drawn for each job, these are the rows of the dataset, but for
        circuits that it drew again as duplicates. Else each job has a noise, and if it has a device
        of its own, a device that no job of the dataset has.

        Args:
            seed: of the training.
        """
        setup = generation_setup(dataset, device)
        splits = split_jobs(setup.times(), dataset.split, dataset.seed)
        train = tuple(job for job, split in enumerate(splits) if split == "train")
        seed = online_seed(dataset.seed, seed)
        return OnlineCircuits(
            dataset, device, setup.calibrations, noise, seed, frozenset(), again=train
        )

    @staticmethod
    def like(
        stored: Dataset,
        dataset: DatasetConfig,
        device: DeviceConfig,
        noise: NoiseConfig,
        seed: int,
        resample: Literal["circuits", "noise"] = "circuits",
    ) -> OnlineCircuits:
        """Simulate circuits like a dataset's, none of its validation and test splits.

        Args:
            stored: the dataset.
            dataset, device: the configs in its recipe.
            seed: of the training.
            resample: ``noise``: its own training circuits, simulated under other noise.

        Raises:
            QmendError: for its own noise where it was measured on hardware, or where its
                circuits do not show what the simulation needs.
        """
        calibrations, own_worlds = dataset.calibrations, _draw_devices(dataset, noise)
        hidden = isinstance(calibrations, RandomizedConfig) and calibrations.reported.exact < 1
        if hidden and not own_worlds:
            raise QmendError(
                f"Circuits of {stored.folder} do not all show the devices that they ran on; use "
                "online.noise=dataset with dataset/noise=worlds, which draws other devices."
            )
        if dataset.qubits is not None and resample == "circuits" and not own_worlds:
            raise QmendError(
                f"Calibrations of {stored.folder} are of the qubits that stored circuits have, and "
                "new ones may have more; use online.resample=noise."
            )
        if stored.source != "simulated" and noise.constants == "calibration":
            raise QmendError(
                f"{stored.folder} was measured on hardware, whose noise no config holds; use "
                "online.noise=randomized, or the path of a noise config fitted to training "
                "circuits."
            )
        train = stored.parts("train")
        used = {
            part.circuits.calibrations[k].calibration_id: part.circuits.calibrations[k]
            for part in train
            for k in np.unique(part.circuits.calibration_index)
        }
        groups = zip(stored.groups, stored.splits, strict=True)
        held_out = [
            group.circuits.instructions.select(np.flatnonzero(split != "train")).circuit_ids()
            for group, split in groups
        ]
        return OnlineCircuits(
            dataset,
            device,
            tuple(used.values()),
            noise,
            online_seed(dataset.seed, seed),
            frozenset(chain.from_iterable(held_out)),
            train if resample == "noise" else (),
        )

    def job(self, number: int) -> list[LabelledCircuits]:
        """Simulate one job, which its number alone decides; its circuits by size.

        Args:
            number: from 0; the dataset's own jobs come before.

        Raises:
            QmendError: if a label is not the compiled circuit's own noiseless distribution, or
                the family has too few circuits outside ``held_out``.
        """
        if self.resampled:
            return self._resample_noise(number)
        if self.again:
            job = self.again[number % len(self.again)]
        else:
            job = number = number + self.dataset.jobs
        setup = self._setup()
        drawn, _ = draw_job_without(
            setup,
            job,
            lambda ids: [k for k, name in enumerate(ids) if name in self.held_out],
            f"The family {self.dataset.family.name!r} has too few circuits outside the validation "
            "and test splits for online simulation; train on the stored ones.",
        )
        calibration = setup.calibration(job)
        shown: Calibration | None = calibration
        config = self.noise.of_device(number)
        draws_devices = _draw_devices(self.dataset, self.noise)
        if self.again:
            shown = setup.reported(job)
            config = config if self.noise.constants == "draw" else setup.noise_config(job)
        setup = setup.of_job(job)
        size, shots = len(drawn.seeds), setup.dataset.draw_shots(job)
        noisy = exact = drawn.ideal
        if not draws_devices:  # else measured below
            noise = config.build(calibration, setup.device.layout)
            counts, exact = simulate_job(drawn, noise, job, setup.dataset)
            noisy = counts / shots
        labelled = LabelledCircuits(
            circuits=CircuitBatch(
                instructions=drawn.table,
                noisy=to_chain_order(noisy, drawn.measured),
                shots=np.full(size, shots, dtype=np.int64),
                layouts=(setup.device.layout,),
                calibrations=(_show(shown, setup.device.name, setup.device.layout, drawn.table),),
                calibration_index=np.zeros(size, dtype=np.int64),
                measured=drawn.measured,
                executed=np.full(size, not config.hides_gates),
            ),
            ideal=to_chain_order(drawn.ideal, drawn.measured),
            noisy_exact=to_chain_order(exact, drawn.measured),
            circuit_id=np.array(drawn.circuit_ids),
            job_id=np.full(size, f"online-{number:06d}"),
            job=np.full(size, number),
            n_two_qubit=drawn.table.count(*TWO_QUBIT),
            depth=drawn.table.depth(),
        )
        if draws_devices:
            labelled = self._measure_again(labelled, number, np.arange(size))
        return [labelled]

    def _resample_noise(self, number: int) -> list[LabelledCircuits]:
        """Simulate the next stored circuits under the noise of a new job.

        Their calibrations stay, and so do their encodings, unless each job has a device of its own.
        """
        size = self.dataset.job_size
        wanted = (number * size + np.arange(size)) % sum(map(len, self.resampled))
        resampled, start = [], 0
        for stored in self.resampled:
            here = np.flatnonzero((wanted >= start) & (wanted < start + len(stored)))
            if len(here):
                chosen = stored.select(wanted[here] - start)
                resampled.append(self._measure_again(chosen, number, here))
            start += len(stored)
        return resampled

    def _measure_again(
        self, chosen: LabelledCircuits, number: int, places: IntArray
    ) -> LabelledCircuits:
        """Simulate circuits under the noise of a new job.

        Args:
            number: of the job.
            places: (N,) of the circuits in it, which decide their shots.
        """
        circuits = chosen.circuits
        exact = np.empty_like(chosen.ideal)
        counts = np.empty_like(chosen.ideal)
        seeds = [np.random.SeedSequence([self.seed, number, row]) for row in places.tolist()]
        config = self.noise.of_device(number)
        true, executed = circuits.calibrations, np.full(len(circuits), not config.hides_gates)
        if _draw_devices(self.dataset, self.noise):
            true, circuits = self._on_new_device(circuits, number)
        for k in np.unique(circuits.calibration_index):
            at = np.flatnonzero(circuits.calibration_index == k)
            counts[at], exact[at] = Execution(
                circuits.instructions.select(at),
                circuits.positions[at],
                [seeds[row] for row in at],
                circuits.shots[at],
                config.build(true[k], circuits.layouts[k]),
                number,
                self.dataset.twirling.randomizations,
            ).sample()
        noisy = counts / circuits.shots[:, None]
        return replace(
            chosen,
            circuits=replace(circuits, noisy=noisy, executed=executed),
            noisy_exact=exact,
            job_id=np.full(len(chosen), f"online-{number:06d}"),
            job=np.full(len(chosen), number),
        )

    def _on_new_device(
        self, circuits: CircuitBatch, number: int
    ) -> tuple[tuple[Calibration, ...], CircuitBatch]:
        """Draw the device of a new job, and the shots.

        Returns:
            Its true calibration on each layout, and the circuits with what they show of it.
        """
        config, size = self.dataset.calibrations, len(circuits)
        assert isinstance(config, RandomizedConfig)
        base = generation_setup(self.dataset, self.device).device.calibration
        true = config.device(base, self.seed, number)
        shown = config.report(true, self.seed, number)
        layouts = tuple(dict.fromkeys(circuits.layouts))
        index = np.array([layouts.index(layout) for layout in circuits.layouts])
        place = index[circuits.calibration_index]
        calibrations = [
            _show(
                None if shown is None else shown.restrict(layout),
                base.device,
                layout,
                circuits.instructions.select(np.flatnonzero(place == k)),
            )
            for k, layout in enumerate(layouts)
        ]
        shots = self.dataset.model_copy(update={"seed": self.seed}).draw_shots(number)
        return (true,) * len(layouts), replace(
            circuits,
            shots=np.full(size, shots),
            layouts=layouts,
            calibrations=tuple(calibrations),
            calibration_index=place,
        )

    def _setup(self) -> GenerationSetup:
        """Return the dataset's setup with what these circuits have of their own."""
        setup = generation_setup(self.dataset, self.device)
        if self.again:
            own = self.dataset.model_copy(update={"noise": self.noise})
            return replace(setup, dataset=own)
        size = self.job_size or self.dataset.job_size
        dataset = self.dataset.model_copy(update={"seed": self.seed, "job_size": size})
        return replace(setup, dataset=dataset, calibrations=self.calibrations)


def _show(
    shown: Calibration | None, device: str, layout: tuple[int, ...], circuits: InstructionTable
) -> Calibration:
    """Return what circuits show of a calibration; None: nothing."""
    return unknown_calibration_of(device, layout, circuits) if shown is None else shown


def _draw_devices(dataset: DatasetConfig, noise: NoiseConfig) -> bool:
    """Say whether each job has a device of its own."""
    return isinstance(dataset.calibrations, RandomizedConfig) and isinstance(noise, WorldsConfig)
