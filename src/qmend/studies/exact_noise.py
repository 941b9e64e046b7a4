"""The noise of a dataset's circuits, known exactly, and an encoding that holds it.

Both the factor of every parity and the size of what the noise adds to it come from the error map of
the circuit under the true constants of its job. Neither depends on the initial state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.config import DatasetConfig, recipe_configs
from qmend.datasets.table import Dataset
from qmend.encodings.base import Float32
from qmend.encodings.paths import PathsEncoding
from qmend.generation.setup import generation_setup
from qmend.noise.error_maps import error_rows, noiseless_program
from qmend.noise.paths import FEATURES
from qmend.simulation.program import z_strings
from qmend.types import FloatArray, QmendError

#: The columns of a token that are replaced: by -log of the factor, and by the size of the rest.
FACTOR = [FEATURES.index("survival_rate"), FEATURES.index("ended_rate")]
REST = [FEATURES.index("idle_rate"), FEATURES.index("ended_idle_rate")]
#: A parity that is smaller than this part of its ideal value counts as this part.
_SMALLEST = 0.02
#: Of error maps that are in memory at once, 8^n a circuit.
_ENTRIES = 2**26


@dataclass(frozen=True)
class KnownNoise:
    """The effect of the noise on every parity of a dataset's circuits.

    Attributes:
        row: id of a circuit -> its row below.
        factors: (N, 2^n) E[s, s] of each circuit's error map E, of the parities of all qubits.
        rest: (N, 2^n) Euclidean norm of E[s, P] over the strings P that are no parity.
    """

    row: Mapping[str, int]
    factors: FloatArray
    rest: FloatArray

    def of(self, circuits: CircuitBatch) -> tuple[FloatArray, FloatArray]:
        """Select factors and rest (N, 2^m) of the parities that some of the circuits measure.

        Raises:
            KeyError: if one is not among the dataset's.
        """
        rows = np.array([self.row[name] for name in circuits.instructions.circuit_ids()])[:, None]
        bits = np.arange(2**circuits.n_measured)[:, None] >> np.arange(circuits.n_measured) & 1
        parities = (1 << circuits.positions) @ bits.T  # (N, 2^m), of all qubits
        return self.factors[rows, parities], self.rest[rows, parities]


def check_as_compiled(dataset: DatasetConfig) -> None:
    """Refuse circuits that are measured by randomized compiling.

    Raises:
        QmendError: if they are.
    """
    if dataset.twirling.randomizations:
        raise QmendError(
            f"dataset={dataset.name} is measured by randomized compiling, and the error maps are "
            "those of circuits as compiled; choose dataset.twirling.randomizations=0."
        )


def known_noise(
    dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None
) -> KnownNoise:
    """Compute the error maps of all circuits, under the constants of their jobs.

    Args:
        progress: called with the number of circuits that are done, and of all.

    Raises:
        QmendError: if the dataset was measured, or its circuits were randomized.
    """
    recipe = dataset.manifest.recipe
    if dataset.manifest.origin != "simulated":
        raise QmendError(
            f"{dataset.folder} was measured, and its noise is not known exactly; choose a "
            "simulated dataset."
        )
    setup = generation_setup(*recipe_configs(recipe))
    check_as_compiled(setup.dataset)
    table = InstructionTable.joined([group.circuits.instructions for group in dataset.groups])
    strings = z_strings(table.n_qubits)
    others = np.setdiff1d(np.arange(4**table.n_qubits), strings)
    factors = np.empty((len(table), len(strings)))
    rest = np.empty_like(factors)
    job = np.concatenate([group.job for group in dataset.groups])
    done = 0
    for k in np.unique(job).tolist():
        at = np.flatnonzero(job == k)
        noise = setup.noise(k)
        for few in np.array_split(at, -(-len(at) // max(1, _ENTRIES // 8**table.n_qubits))):
            part = table.select(few)
            maps = error_rows(noise.program(part, k), noiseless_program(noise.gates, part))
            factors[few] = np.diagonal(maps[:, :, strings], axis1=1, axis2=2)
            rest[few] = np.linalg.norm(maps[:, :, others], axis=2)
            done += len(few)
            progress(done, len(table))
    return KnownNoise({name: k for k, name in enumerate(table.circuit_ids())}, factors, rest)


class KnownNoiseEncoding(PathsEncoding):
    """Paths with an exact factor and an exact size of what the noise adds.

    It is made for the circuits of one dataset and is not saved: no practical method.
    """

    name = "known_noise"

    def __init__(self, noise: KnownNoise) -> None:
        super().__init__()
        self.noise = noise

    def tokens(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_]]:
        tokens, mask = super().tokens(batch)
        factors, rest = self.noise.of(batch)
        tokens[..., FACTOR] = -np.log(np.clip(factors, _SMALLEST, 1.0))[..., None]
        tokens[..., REST] = rest[..., None]
        return tokens, mask
