"""Surrogate hardware whose constants were fitted to a real device.

The physics of :mod:`qmend.noise.surrogate`, with explicit constants for each physical qubit
and each directed two-qubit gate, factors on what the calibration reports, and readout error that
differs between 0 and 1. Qubits and gates that no fit has seen get constants drawn from the spread
of the fitted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.noise.base import Noise
from qmend.noise.config import FittedConfig, SurrogateConfig
from qmend.noise.constants_config import TERMS
from qmend.noise.device_noise import DeviceNoise, NoiseParameters
from qmend.noise.fitted_constants import (
    draw_terms,
    gate_constants,
    generator,
    qubit_constants,
    reversed_terms,
)
from qmend.noise.surrogate import Constants, SurrogateNoise
from qmend.simulation.program import Program
from qmend.types import FloatArray


class FittedNoise(Noise):
    """Fitted surrogate hardware on a chain.

    Args:
        calibration: the snapshot that the factors scale.
        layout: physical qubits of the chain.
        config: the constants.
    """

    def __init__(
        self, calibration: Calibration, layout: Sequence[int], config: FittedConfig
    ) -> None:
        self.config = config
        self.layout = tuple(layout)
        reported = [calibration.value(calibration.qubit(q), "readout_error") for q in layout]
        self._qubits = [
            qubit_constants(config, q, error) for q, error in zip(layout, reported, strict=True)
        ]
        flips = [
            tuple(error if flip is None else flip for flip in (q.flip_up, q.flip_down))
            for q, error in zip(self._qubits, reported, strict=True)
        ]
        self._readout = np.array([[[1 - up, down], [up, 1 - down]] for up, down in flips])
        snapshot = NoiseParameters.of(calibration, layout)
        pairs = snapshot.second >= 0
        self._pairs = [
            (layout[a], layout[b])
            for a, b in zip(snapshot.first[pairs], snapshot.second[pairs], strict=True)
        ]
        self._native = sorted((layout[a], layout[b]) for a, b in snapshot.native_pairs)
        self._gates = {
            pair: gate_constants(
                config, pair, pair if pair in self._native else pair[::-1], self.layout
            )
            for pair in self._pairs
        }
        error = snapshot.error.clone()
        for k, (a, b) in enumerate(zip(snapshot.first, snapshot.second, strict=True)):
            pair = (layout[a], layout[b])
            error[k] *= self._gates[pair].error if b >= 0 else self._qubits[a].error
        self.parameters = replace(
            snapshot,
            t1=snapshot.t1 * torch.tensor([q.t1 for q in self._qubits], dtype=torch.float64),
            t2=torch.minimum(snapshot.t2, 2 * snapshot.t1)
            * torch.tensor([q.t2 for q in self._qubits], dtype=torch.float64),
            error=error.clamp(max=1.0),
        )
        # Any positive value switches the spectators' phases on; their angles are given below.
        switches = SurrogateConfig(
            name="surrogate_hardware", idle_relaxation=config.idle_relaxation, drift=0.0
        )
        self._noise = SurrogateNoise(calibration, layout, switches, self.parameters)

    def constants(self, job: int) -> Constants:
        """Return the angles in one job, radians."""
        n = len(self.layout)
        today = generator(self.config, 3, job)
        shift: dict[tuple[int, int], dict[str, float]] = {}
        for pair in self._native:
            drawn = draw_terms(self._gates[pair].drift, today)
            shift[pair] = drawn
            shift[pair[::-1]] = reversed_terms(drawn)
        terms = np.zeros((len(TERMS), len(self._pairs)))
        stark = np.zeros((len(self._pairs), n))
        for k, pair in enumerate(self._pairs):
            gate = self._gates[pair]
            for at, term in enumerate(TERMS):
                terms[at, k] = gate.terms.get(term, 0.0) + shift[pair].get(term, 0.0)
            stark[k] = [gate.stark.get(q, 0.0) for q in self.layout]
        used = dict(zip(TERMS, terms, strict=True))
        return Constants(
            zz=used.pop("ZZ"),
            zx=used.pop("ZX"),
            stark=stark,
            rx=np.array([[q.sx for q in self._qubits], [q.x for q in self._qubits]]),
            idle_zz=np.zeros((n, n)),
            terms={term: angle for term, angle in used.items() if angle.any()},
            rz=np.array([q.rz for q in self._qubits]),
        )

    def program(self, table: InstructionTable, job: int = 0) -> Program:
        """Give compiled circuits the channels of one job.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """
        return self._noise.program_with(table, self.constants(job))

    @property
    def gates(self) -> DeviceNoise:
        return self._noise.gates

    @property
    def readout(self) -> FloatArray:
        return self._readout
