"""Surrogate hardware: what real devices have and a calibration does not show.

The device model of Aer, plus relaxation of idle qubits, coherent errors after gates, phases on
spectators, and optionally leakage-like loss and ZZ between idle neighbours. The constants of a
device come from a seed, and each varies from job to job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from qmend.circuits.instructions import GATE_CODE, GATES, InstructionTable
from qmend.devices.calibration import Calibration
from qmend.simulation import channels
from qmend.simulation.noise import DeviceNoise
from qmend.simulation.program import Program
from qmend.types import FloatArray, IntArray


class SurrogateConfig(BaseModel):
    """``conf/noise/surrogate_hardware.yaml``; a value of 0 switches its part off.

    Attributes:
        strength: scales all parts; 0 is Aer's device model.
        device_seed: of the device's constants.
        idle_relaxation: factor on the time for which idle qubits relax.
        zz, zx: standard deviations (rad) of the coherent errors exp(-i theta P / 2) after each
            directed two-qubit gate; ZX has Z on the control.
        stark: of the RZ on each spectator of a two-qubit gate.
        rx: of the RX after SX and X.
        idle_zz: of the ZZ between neighbours that are both idle, per us.
        leakage: probability with which a two-qubit gate loses a qubit to a state that reads 1.
        drift: relative standard deviation of every coherent error from job to job.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Literal["surrogate_hardware"]
    strength: float = Field(1.0, ge=0)
    device_seed: int = Field(0, ge=0)
    idle_relaxation: float = Field(1.0, ge=0)
    zz: float = Field(0.05, ge=0)
    zx: float = Field(0.04, ge=0)
    stark: float = Field(0.03, ge=0)
    rx: float = Field(0.012, ge=0)
    idle_zz: float = Field(0.0, ge=0)
    leakage: float = Field(0.0, ge=0, le=1)
    drift: float = Field(0.3, ge=0)


@dataclass(frozen=True)
class Constants:
    """Angles of the coherent errors in one job, radians; tensors to be differentiated by.

    Attributes:
        zz, zx: (R2,) for each directed two-qubit gate, in the order of ``DeviceNoise.two``.
        stark: (R2, n) for each of these and each qubit.
        rx: (2, n) after SX and X on each qubit.
        idle_zz: (n, n) per us, symmetric.
    """

    zz: FloatArray | Tensor
    zx: FloatArray | Tensor
    stark: FloatArray | Tensor
    rx: FloatArray | Tensor
    idle_zz: FloatArray | Tensor


class SurrogateNoise:
    """Surrogate hardware on a chain.

    Args:
        calibration: the snapshot, which knows nothing of the additions.
        layout: physical qubits of the chain.
        config: strengths and seed.
    """

    def __init__(
        self, calibration: Calibration, layout: Sequence[int], config: SurrogateConfig
    ) -> None:
        self.base = DeviceNoise(calibration, layout)
        self.config = config
        self.n_qubits = len(layout)
        qubits = [calibration.qubit(q) for q in layout]
        self.t1 = np.array([calibration.value(q, "t1_us") for q in qubits])
        self.t2 = np.array([calibration.value(q, "t2_us") for q in qubits])
        self.length = np.zeros((len(GATES), self.n_qubits, self.n_qubits + 1))
        position = {physical: k for k, physical in enumerate(layout)}
        for gate in calibration.gates:
            if gate.gate in GATE_CODE and all(q in position for q in gate.qubits):
                at = [position[q] for q in gate.qubits]
                second = at[1] if len(at) == 2 else self.n_qubits
                length = calibration.value(gate, "length_ns") * 1e-3
                self.length[GATE_CODE[gate.gate], at[0], second] = length
        empty = InstructionTable.from_circuits(self.n_qubits, [[]])
        one, two = self._gates(self.base.program(empty), self.constants(0))
        channels.check_channel(one, "of a one-qubit gate with its coherent errors")
        if len(two):
            channels.check_channel(two, "of a two-qubit gate with its coherent errors")

    @cached_property
    def edges(self) -> IntArray:
        """(R2, 2) first and second qubit of each directed two-qubit gate."""
        rows = np.argwhere(self.base.two_row >= 0)
        order = np.argsort(self.base.two_row[tuple(rows.T)])
        return rows[order][:, 1:]

    def constants(self, job: int) -> Constants:
        """The device's constants as they are in one job."""
        config, n, edges = self.config, self.n_qubits, len(self.edges)
        shapes = {
            "zz": (edges,),
            "zx": (edges,),
            "stark": (edges, n),
            "rx": (2, n),
            "idle_zz": (n, n),
        }
        device = np.random.default_rng(np.random.SeedSequence(config.device_seed))
        today = np.random.default_rng(np.random.SeedSequence(config.device_seed, spawn_key=(job,)))
        drawn = {}
        for name, shape in shapes.items():
            sigma = getattr(config, name) * config.strength
            fixed = sigma * device.standard_normal(shape)
            drawn[name] = fixed * (1 + config.drift * today.standard_normal(shape))
        drawn["idle_zz"] = np.triu(drawn["idle_zz"], 1)
        drawn["idle_zz"] = drawn["idle_zz"] + drawn["idle_zz"].T
        return Constants(**drawn)

    def program(self, table: InstructionTable, job: int) -> Program:
        """Compiled circuits under the noise of one job.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """
        return self.program_with(table, self.constants(job))

    def program_with(self, table: InstructionTable, constants: Constants) -> Program:
        """Compiled circuits under given constants."""
        plain = self.base.program(table)
        one, two = self._gates(plain, constants)
        layer = table.layers(virtual=("rz",))
        physical = np.flatnonzero(table.gate != GATE_CODE["rz"])
        parts = [_Part.of(table.circuit_index, layer, 1, table.first, table.second, plain.row)]
        parts[0].phase[table.gate == GATE_CODE["rz"]] = 0
        rows = len(one)
        for extra in (
            self._spectators(table, layer, constants),
            self._idle(table, layer, physical),
        ):
            part, matrices = extra
            parts.append(replace(part, row=part.row + rows))
            rows += len(matrices)
            one = torch.cat([one, matrices])
        if self.config.idle_zz * self.config.strength:
            part, matrices = self._idle_zz(table, layer, physical, constants)
            parts.append(replace(part, row=part.row + len(two)))
            two = torch.cat([two, matrices])
        return _Part.joined(parts).program(table, one, two)

    def _gates(self, plain: Program, constants: Constants) -> tuple[Tensor, Tensor]:
        """The base model's channels, each followed by its coherent errors and loss."""
        n = self.n_qubits
        one = plain.one.clone()
        for k, gate in enumerate(("sx", "x")):
            rows = slice(GATE_CODE[gate] * n, GATE_CODE[gate] * n + n)
            angle = torch.as_tensor(constants.rx[k])
            one[rows] = channels.rotation("X", angle) @ plain.one[rows]
        two = channels.rotation("ZZ", torch.as_tensor(constants.zz)) @ plain.two
        two = channels.rotation("ZX", torch.as_tensor(constants.zx)) @ two
        loss = min(self.config.leakage * self.config.strength, 1.0)
        if loss:
            # The lost qubit reads 1: replaced by |1><1| with this probability.
            lost = channels.depolarizing(loss)
            lost[3, 0] = -loss
            two = channels.tensor(lost, lost) @ two
        return one, two

    def _spectators(
        self, table: InstructionTable, layer: IntArray, constants: Constants
    ) -> tuple[_Part, Tensor]:
        """RZ on every qubit outside a two-qubit gate, after its layer's gates."""
        edges, n = len(self.edges), self.n_qubits
        at = np.flatnonzero(table.second >= 0)
        if not self.config.stark * self.config.strength:
            at = at[:0]
        edge = self.base.two_row[table.gate[at], table.first[at], table.second[at]]
        qubit = np.broadcast_to(np.arange(n), (len(at), n))
        free = (qubit != table.first[at][:, None]) & (qubit != table.second[at][:, None])
        spread = np.repeat(at, free.sum(axis=1))
        row = (edge[:, None] * n + qubit)[free]
        part = _Part.of(table.circuit_index[spread], layer[spread], 2, qubit[free], None, row)
        angles = torch.as_tensor(constants.stark).reshape(edges * n)
        return part, channels.rotation("Z", angles)

    def _schedule(
        self, table: InstructionTable, layer: IntArray, physical: IntArray
    ) -> tuple[FloatArray, IntArray, FloatArray]:
        """(N, L + 1) start time of each layer (us), its gates' lengths (K,), (N,) layers.

        A layer lasts as long as its longest gate; RZ takes no time.
        """
        length = self.length[table.gate, table.first, table.second]
        length[table.gate == GATE_CODE["rz"]] = 0.0
        depth = int(layer[physical].max(initial=-1)) + 1
        duration = np.zeros((len(table), depth))
        np.maximum.at(duration, (table.circuit_index[physical], layer[physical]), length[physical])
        start = np.concatenate([np.zeros((len(table), 1)), np.cumsum(duration, axis=1)], axis=1)
        return start, np.full(len(table), depth), length

    def _idle(
        self, table: InstructionTable, layer: IntArray, physical: IntArray
    ) -> tuple[_Part, Tensor]:
        """Relaxation of each qubit for the time between its gates, and until the end.

        Relaxation commutes with RZ, so the whole wait is one channel just before the next gate.
        With ZZ between idle neighbours, which it does not commute with, it is one a layer.
        """
        start, depth, length = self._schedule(table, layer, physical)
        two = table.second[physical] >= 0
        gate = np.concatenate([physical, physical[two]])
        qubit = np.concatenate([table.first[physical], table.second[physical][two]])
        circuit = table.circuit_index[gate]
        if self.config.idle_zz * self.config.strength:
            busy = np.zeros((len(table), self.n_qubits, int(depth.max(initial=0))))
            busy[circuit, qubit, layer[gate]] = length[gate]
            waits = np.diff(start, axis=1)[:, None, :] - busy
            circuit, qubit, at = np.nonzero(waits > 1e-12)
            wait, phase = waits[circuit, qubit, at], 3
        else:
            # A last, empty gate of every qubit at the end of its circuit.
            n = self.n_qubits
            circuit = np.concatenate([circuit, np.repeat(np.arange(len(table)), n)])
            qubit = np.concatenate([qubit, np.tile(np.arange(n), len(table))])
            at = np.concatenate([layer[gate], np.repeat(depth, n)])
            own = np.concatenate([length[gate], np.zeros(len(table) * n)])
            order = np.lexsort((at, qubit, circuit))
            circuit, qubit, at, own = circuit[order], qubit[order], at[order], own[order]
            begin = start[circuit, at]
            end = np.roll(begin + own, 1)
            first = np.ones(len(order), dtype=bool)
            first[1:] = (circuit[1:] != circuit[:-1]) | (qubit[1:] != qubit[:-1])
            wait = np.where(first, begin, begin - end)
            phase = 0
        wait = wait * self.config.idle_relaxation * self.config.strength
        kept = wait > 1e-12
        circuit, qubit, at, wait = circuit[kept], qubit[kept], at[kept], wait[kept]
        part = _Part.of(circuit, at, phase, qubit, None, np.arange(len(wait)))
        matrices = channels.thermal_relaxation(
            torch.from_numpy(self.t1[qubit]),
            torch.from_numpy(self.t2[qubit]),
            torch.from_numpy(wait),
        )
        return part, matrices

    def _idle_zz(
        self,
        table: InstructionTable,
        layer: IntArray,
        physical: IntArray,
        constants: Constants,
    ) -> tuple[_Part, Tensor]:
        """ZZ between coupled neighbours that both have no gate in a layer, for its length."""
        start, depth, _ = self._schedule(table, layer, physical)
        busy = np.zeros((len(table), int(depth.max(initial=0)), self.n_qubits), dtype=bool)
        circuit = table.circuit_index[physical]
        busy[circuit, layer[physical], table.first[physical]] = True
        two = table.second[physical] >= 0
        busy[circuit[two], layer[physical][two], table.second[physical][two]] = True
        pairs = np.unique(np.sort(self.edges, axis=1), axis=0)
        free = ~busy[:, :, pairs[:, 0]] & ~busy[:, :, pairs[:, 1]]
        duration = np.diff(start, axis=1)
        circuit, at, pair = np.nonzero(free & (duration > 0)[:, :, None])
        a, b = pairs[pair].T
        angle = torch.as_tensor(constants.idle_zz)[a, b] * torch.from_numpy(duration[circuit, at])
        part = _Part.of(circuit, at, 4, a, b, np.arange(len(angle)))
        return part, channels.rotation("ZZ", angle)


@dataclass(frozen=True)
class _Part:
    """Channels with the moment at which they act: circuit, layer, phase within the layer."""

    circuit: IntArray
    layer: IntArray
    phase: IntArray
    first: IntArray
    second: IntArray
    row: IntArray

    @staticmethod
    def of(
        circuit: IntArray,
        layer: IntArray,
        phase: int,
        first: IntArray,
        second: IntArray | None,
        row: IntArray,
    ) -> _Part:
        other = np.full(len(row), -1) if second is None else second
        return _Part(circuit, layer, np.full(len(row), phase), first, other, row.copy())

    @staticmethod
    def joined(parts: Sequence[_Part]) -> _Part:
        names = _Part.__dataclass_fields__
        return _Part(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    def program(self, table: InstructionTable, one: Tensor, two: Tensor) -> Program:
        """In the order of time; equal moments keep their order."""
        order = np.lexsort((self.phase, self.layer, self.circuit))
        counts = np.bincount(self.circuit, minlength=len(table))
        return Program(
            table.n_qubits,
            np.concatenate([[0], np.cumsum(counts)]),
            self.first[order],
            self.second[order],
            self.row[order],
            one,
            two,
        )
