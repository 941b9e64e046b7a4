"""Online simulation: training circuits by the recipe of a dataset, simulated and never stored.

They have the dataset's family, device, compiler and shots, the calibrations that its training
circuits ran under, and seeds that no circuit of a dataset has. None is in its validation or test
split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import ValidationError

from qmend.circuits.statevector import to_chain_order
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, LabelledCircuits
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig
from qmend.gates import TWO_QUBIT
from qmend.generation.execution import Execution
from qmend.generation.job import draw_job_without, simulate_job
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.noise.config import NoiseConfig, RandomizedNoise, read_noise
from qmend.types import IntArray, QmendError

#: First number of the key of :func:`online_seed`; keys of circuits have three numbers, not two.
_STREAM = 0xF4E54


@dataclass(frozen=True)
class OnlineCircuits:
    """A source of any number of circuits by a dataset's recipe.

    Attributes:
        dataset, device: the recipe; its noise is not read.
        calibrations: the snapshots that jobs cycle through.
        noise: that the circuits run under.
        seed: of circuits and shots, see :func:`online_seed`.
        held_out: ids of the instructions of circuits that must not be drawn.
        resampled: stored circuits, by size, whose noise alone is resampled; empty: new circuits
            are drawn.
    """

    dataset: DatasetConfig
    device: DeviceConfig
    calibrations: tuple[Calibration, ...]
    noise: NoiseConfig
    seed: int
    held_out: frozenset[str]
    resampled: tuple[LabelledCircuits, ...] = ()

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
            QmendError: for its own noise where it was measured on hardware.
        """
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
        number += self.dataset.jobs
        setup = self._setup()
        drawn, _ = draw_job_without(
            setup,
            number,
            lambda ids: [k for k, name in enumerate(ids) if name in self.held_out],
            f"The family {self.dataset.family.name!r} has too few circuits outside the validation "
            "and test splits for online simulation; train on the stored ones.",
        )
        calibration = setup.calibration(number)
        noise = self.noise.of_device(number).build(calibration, setup.device.layout)
        counts, exact = simulate_job(drawn, noise, number, self.dataset)
        size, shots = len(drawn.seeds), self.dataset.shots
        labelled = LabelledCircuits(
            circuits=CircuitBatch(
                instructions=drawn.table,
                noisy=to_chain_order(counts / shots, drawn.measured),
                shots=np.full(size, shots, dtype=np.int64),
                layouts=(setup.device.layout,),
                calibrations=(calibration,),
                calibration_index=np.zeros(size, dtype=np.int64),
                measured=drawn.measured,
            ),
            ideal=to_chain_order(drawn.ideal, drawn.measured),
            noisy_exact=to_chain_order(exact, drawn.measured),
            circuit_id=np.array(drawn.circuit_ids),
            job_id=np.full(size, f"online-{number:06d}"),
            job=np.full(size, number),
            n_two_qubit=drawn.table.count(*TWO_QUBIT),
            depth=drawn.table.depth(),
        )
        return [labelled]

    def _resample_noise(self, number: int) -> list[LabelledCircuits]:
        """Simulate the next stored circuits under the noise of a new job.

        Their calibrations stay, and so do their encodings.
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
        for k in np.unique(circuits.calibration_index):
            at = np.flatnonzero(circuits.calibration_index == k)
            calibration, layout = circuits.chains[k]
            noise = self.noise.of_device(number).build(calibration, layout)
            counts[at], exact[at] = Execution(
                circuits.instructions.select(at),
                circuits.positions[at],
                [seeds[row] for row in at],
                circuits.shots[at],
                noise,
                number,
                self.dataset.twirling.randomizations,
            ).sample()
        return replace(
            chosen,
            circuits=replace(circuits, noisy=counts / circuits.shots[:, None]),
            noisy_exact=exact,
            job_id=np.full(len(chosen), f"resampled-{number:06d}"),
            job=np.full(len(chosen), number),
        )

    def _setup(self) -> GenerationSetup:
        """Return the dataset's setup with the seed and the calibrations of these circuits."""
        dataset = self.dataset.model_copy(update={"seed": self.seed})
        setup = generation_setup(self.dataset, self.device)
        return replace(setup, dataset=dataset, calibrations=self.calibrations)


def online_seed(dataset: int, training: int) -> int:
    """Derive the seed (63 bits) of a training's circuits from its own and the dataset's."""
    key = (_STREAM, training)
    state = np.random.SeedSequence(dataset, spawn_key=key).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def online_noise(
    choice: str | Path, strength: tuple[float, float], dataset: DatasetConfig, seed: int
) -> NoiseConfig:
    """Build the noise of online simulation.

    It must hold no constants but those that the calibration or the training circuits show.

    Args:
        choice: ``dataset``, ``randomized``, or the path of a fitted noise config.
        strength: range of a randomized device's noise strength.
        seed: of the training.

    Raises:
        QmendError: if the constants would be read from the dataset's config, or the file holds
            no fitted noise.
    """
    if choice == "randomized":
        return RandomizedNoise(strength=strength, seed=online_seed(dataset.seed, seed))
    if choice == "dataset":
        if dataset.noise.constants == "calibration":
            return dataset.noise
        raise QmendError(
            f"online.noise=dataset would read the constants of {dataset.noise.name} from the "
            "dataset's config, and only training circuits may tell them; use "
            "online.noise=randomized, or the path of a noise config fitted to training circuits."
        )
    fitted = _read_fitted(Path(choice))
    if fitted.same_constants(dataset.noise):
        raise QmendError(
            f"online.noise={choice} holds the very constants that the dataset was simulated with; "
            "give a noise config fitted to training circuits, or use online.noise=randomized."
        )
    return fitted


def _read_fitted(path: Path) -> NoiseConfig:
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise QmendError(
            f"online.noise={path} is neither dataset nor randomized, nor a file that can be read "
            f"({error.strerror}); check the path."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise QmendError(f"online.noise={path} is no YAML file; check the path.") from None
    try:
        noise = read_noise(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise QmendError(
            f"online.noise={path} is no noise config: {where}: {first['msg']}."
        ) from None
    if noise.constants != "fit":
        raise QmendError(
            f"online.noise={path} is {noise.name}, whose constants nobody fitted; give a "
            "surrogate_fitted config, or use online.noise=dataset or randomized."
        )
    return noise
