"""Noise of known laws, to undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from qmend.circuits.instructions import Instruction, InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.devices.device import Device
from qmend.noise.config import AerNoiseConfig
from qmend.noise.readout import apply_readout

#: Error of a gate or readout by what it acts on; everything else is perfect.
Errors = Mapping[tuple[str, tuple[int, ...]], float]


@pytest.fixture(scope="session")
def perfect(algiers: Device) -> Callable[..., Calibration]:
    """errors -> algiers without any noise but those: no gate takes time, so nothing relaxes."""

    def make(errors: Errors | None = None) -> Calibration:
        by_item = errors or {}
        plain = algiers.calibration.model_dump(mode="json")
        for item in plain["qubits"]:
            item["readout_error"] = by_item.get(("readout", (item["qubit"],)), 0.0)
        for item in plain["gates"]:
            item["error"] = by_item.get((item["gate"], tuple(item["qubits"])), 0.0)
            item["length_ns"] = 0.0
        return Calibration.parse(plain, "perfect")

    return make


class ExactRuns:
    """Aer's device model of one calibration, to exact probabilities."""

    def __init__(self, calibration: Calibration, layout: Sequence[int]) -> None:
        self.layout, self.calibration = tuple(layout), calibration.restrict(layout)
        self.executor = AerNoiseConfig().build(self.calibration, layout)

    def __call__(self, circuits: CircuitBatch, further: InstructionTable) -> np.ndarray:
        before = self.executor.probabilities(further, 0)
        measured = apply_readout(before, self.executor.readout)
        return measured.reshape(len(circuits), -1, measured.shape[1])

    def measure(self, circuits: Sequence[Sequence[Instruction]], shots: int) -> CircuitBatch:
        """The circuits with their exact noisy distributions."""
        table = InstructionTable.from_circuits(len(self.layout), circuits)
        noisy = apply_readout(self.executor.probabilities(table, 0), self.executor.readout)
        count = len(table)
        return CircuitBatch(
            table,
            np.maximum(noisy, 0.0),
            np.full(count, shots),
            (self.layout,),
            (self.calibration,),
            np.zeros(count, dtype=int),
            np.tile(np.arange(len(self.layout)), (count, 1)),
        )


@pytest.fixture(scope="session")
def exact_runs() -> type[ExactRuns]:
    return ExactRuns


@pytest.fixture(scope="session")
def random_circuits() -> Callable[..., list[list[Instruction]]]:
    """(pairs, seed) -> circuits of SX, RZ of any angle, and CX on the pairs."""

    def draw(
        pairs: Sequence[tuple[int, int]], seed: int, count: int = 12, blocks: int = 8
    ) -> list[list[Instruction]]:
        rng = np.random.default_rng(seed)
        qubits = sorted({q for pair in pairs for q in pair})
        circuits = []
        for _ in range(count):
            gates: list[Instruction] = []
            for _ in range(int(rng.integers(2, blocks))):
                for q in qubits:
                    gates += [("sx", q, -1, 0.0), ("rz", q, -1, float(rng.uniform(-3, 3)))]
                gates.append(("cx", *pairs[int(rng.integers(len(pairs)))], 0.0))
            circuits.append(gates + [("sx", q, -1, 0.0) for q in qubits])
        return circuits

    return draw


@pytest.fixture(scope="session")
def ideal() -> Callable[[CircuitBatch], np.ndarray]:
    """Noiseless distributions of a batch."""
    return lambda batch: compiled_probabilities(batch.instructions)
