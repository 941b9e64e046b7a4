"""Run further circuits under the noise of a simulated dataset."""

from __future__ import annotations

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.config import recipe_configs
from qmend.datasets.table import Dataset
from qmend.generation.execution import Execution
from qmend.generation.setup import generation_setup
from qmend.types import FloatArray, QmendError

#: Sets the shots of further circuits apart from those of the dataset.
_STREAM = 2


class SimulatedRunner:
    """Runs circuits under a simulated dataset's noise; a :class:`qmend.mitigation.base.Runner`.

    Each further circuit runs in the job of its circuit: with that job's calibration, readout error
    and drift, and with as many random compilations as the dataset's own circuits. The circuit and
    the number of the further one decide the seed of its shots.

    Args:
        exact: give the probabilities themselves, as if with infinitely many shots.

    Raises:
        QmendError: if the dataset was measured, or its device can't be built again.
    """

    def __init__(self, dataset: Dataset, exact: bool = False) -> None:
        recipe = dataset.manifest.recipe
        if dataset.manifest.origin != "simulated":
            raise QmendError(
                f"{dataset.folder} was measured, not simulated: there is no noise to run further "
                "circuits under; leave out the baselines that need further circuits."
            )
        self.exact = exact
        self._folder = dataset.folder
        self._setup = generation_setup(*recipe_configs(recipe))
        self._job = {
            name: job
            for group in dataset.groups
            for name, job in zip(group.circuit_id.tolist(), group.job.tolist(), strict=True)
        }

    def __call__(self, circuits: CircuitBatch, further: InstructionTable) -> FloatArray:
        """Return frequencies (N, k, 2^m), or probabilities if exact, in chain order.

        Raises:
            QmendError: if a circuit is not among the dataset's.
        """
        ids = circuits.instructions.circuit_ids()
        measured_ids = circuits.instructions.circuit_ids(circuits.measured)
        unknown = [k for k, name in enumerate(measured_ids) if name not in self._job]
        if unknown:
            raise QmendError(
                f"Circuit {unknown[0]} is not among those of {self._folder}, so that its job is "
                "not known; run further circuits of the dataset's own."
            )
        k = len(further) // len(ids)
        jobs = np.repeat(np.array([self._job[name] for name in measured_ids], dtype=np.int64), k)
        shots = np.repeat(circuits.shots, k)
        seeds = [
            np.random.SeedSequence([int(name, 16), number, _STREAM])
            for name in ids
            for number in range(k)
        ]
        positions = np.repeat(circuits.positions, k, axis=0)
        out = np.empty((len(further), 2**circuits.n_measured))
        for job in np.unique(jobs).tolist():
            at = np.flatnonzero(jobs == job)
            executor = self._setup.executor(job)
            execution = Execution(
                further.select(at),
                positions[at],
                [seeds[row] for row in at],
                shots[at],
                executor,
                job,
                self._setup.dataset.twirling.randomizations,
            )
            if self.exact:
                out[at] = execution.expect()
            else:
                out[at] = execution.sample()[0] / shots[at, None]
        return out.reshape(len(ids), k, -1)
