"""Surrogate hardware: errors that real devices have and no calibration shows.

The device model of Aer, plus relaxation of idle qubits, coherent errors after gates, phases on
spectators, and optionally leakage-like loss and ZZ between idle neighbours. The constants of a
device come from a seed, and each varies from job to job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from qmend.circuits.folding import fold_two_qubit_gates
from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.gates import GATE_CODE, GATES
from qmend.noise.base import Noise
from qmend.noise.config import SurrogateConfig
from qmend.noise.device_noise import DeviceNoise, NoiseParameters, ideal_channel, z_rotations
from qmend.noise.idle_times import Schedule
from qmend.noise.readout import asymmetric_readout_matrices
from qmend.noise.timed_channels import TimedChannels
from qmend.simulation import channels
from qmend.simulation.program import Program
from qmend.types import FloatArray, IntArray


@dataclass(frozen=True)
class Constants:
    """Angles of the coherent errors in one job, radians; tensors to be differentiated by.

    Attributes:
        zz, zx: (R2,) for each directed two-qubit gate, in the order of ``DeviceNoise.two``.
        stark: (R2, n) for each of these and each chain position.
        rx: (2, n) after SX and X at each chain position.
        idle_zz: (n, n) per us, symmetric.
        terms: further errors exp(-i theta P / 2) after each directed two-qubit gate, (R2,) by
            Pauli string P on control and target; applied in this order.
        rz: (n,) RZ after SX and X on each qubit, before the RX.

    ``zz``, ``zx`` and ``terms`` may have one more axis in front, a group of circuits each (see
    ``SurrogateNoise.plan``).
    """

    zz: FloatArray | Tensor
    zx: FloatArray | Tensor
    stark: FloatArray | Tensor
    rx: FloatArray | Tensor
    idle_zz: FloatArray | Tensor
    terms: Mapping[str, FloatArray | Tensor] = field(default_factory=dict)
    rz: FloatArray | Tensor | None = None


@dataclass(frozen=True)
class ChannelPlan:
    """Which channel acts when in some circuits; equal channels share a row.

    Attributes:
        sequence: the circuits as rows of tables that ``SurrogateNoise.channels`` fills.
        angle: (A,) of the distinct RZs.
        idle_qubit, idle_time: (W,) chain position and time (us) of the distinct waits.
        pair, pair_time: (P, 2) and (P,) the same of neighbours that are both idle.
    """

    sequence: Program
    angle: FloatArray
    idle_qubit: IntArray
    idle_time: FloatArray
    pair: IntArray
    pair_time: FloatArray


class SurrogateNoise(Noise):
    """Surrogate hardware on a chain.

    Args:
        calibration: the snapshot, which knows nothing of the additions.
        layout: physical qubits of the chain.
        config: strengths and seed.
        parameters: in place of the snapshot's own values, to change or differentiate them.
    """

    def __init__(
        self,
        calibration: Calibration,
        layout: Sequence[int],
        config: SurrogateConfig,
        parameters: NoiseParameters | None = None,
    ) -> None:
        self.device = DeviceNoise(calibration, layout, parameters)
        self.config = config
        self.n_qubits = len(layout)
        own = self.device.parameters
        self.length = np.zeros((len(GATES), self.n_qubits, self.n_qubits + 1))
        # Position -1, no second qubit, is the last column.
        self.length[own.gate, own.first, own.second] = own.length.detach().numpy()

    @property
    def gates(self) -> DeviceNoise:
        return self.device

    @property
    def readout(self) -> FloatArray:
        if self.config.asymmetric_readout:
            return asymmetric_readout_matrices(self.device.calibration, self.device.layout)
        return self.device.readout

    @cached_property
    def edges(self) -> IntArray:
        """(R2, 2) chain positions of control and target of each directed two-qubit gate."""
        rows = np.argwhere(self.device.two_row >= 0)
        order = np.argsort(self.device.two_row[tuple(rows.T)])
        return rows[order][:, 1:]

    @property
    def twirled(self) -> bool:
        return self.config.name == "surrogate_twirled"

    @cached_property
    def _ideal_two(self) -> Tensor:
        """(R2, 16, 16) each directed two-qubit gate without noise."""
        parameters = self.device.parameters
        return torch.stack(
            [ideal_channel(GATES[k]) for k in parameters.gate[parameters.second >= 0]]
        )

    def constants(self, job: int) -> Constants:
        """Draw the device's constants as they are in one job."""
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
            fixed = sigma * _normal(device, shape)
            drawn[name] = fixed * (1 + config.drift * _normal(today, shape))
        drawn["idle_zz"] = np.triu(drawn["idle_zz"], 1)
        drawn["idle_zz"] = drawn["idle_zz"] + drawn["idle_zz"].T
        return Constants(**drawn)

    def program(self, table: InstructionTable, job: int = 0) -> Program:
        """Give compiled circuits the channels of one job.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """
        if self.config.hidden_gates:
            names = [int(name, 16) for name in table.circuit_ids()]
            keys = [(self.config.device_seed, job, name) for name in names]
            seeds = [np.random.SeedSequence(key) for key in keys]
            table = fold_two_qubit_gates(table, self.config.hidden_gates, seeds)
        return self.program_with(table, self.constants(job))

    def program_with(self, table: InstructionTable, constants: Constants) -> Program:
        """Give compiled circuits the channels of these constants."""
        plan = self.plan(table)
        one, two = self.channels(plan, constants)
        errors = "gate with its coherent errors"
        channels.check_channel(one[: len(GATES) * self.n_qubits], f"of a one-qubit {errors}")
        if len(self.edges):
            channels.check_channel(two[: len(self.edges)], f"of a two-qubit {errors}")
        return replace(plan.sequence, one=one, two=two)

    def plan(self, table: InstructionTable, group: IntArray | None = None) -> ChannelPlan:
        """Plan which channel acts when; the same for all constants.

        Args:
            group: (N,) of circuits under the same two-qubit constants, 0..G-1; one by default.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """
        row = self.device.rows(table)
        groups = 1 if group is None else int(group.max(initial=0)) + 1
        if group is not None:
            is_two = table.second >= 0
            row[is_two] += group[table.circuit_index[is_two]] * len(self.edges)
        turned = table.gate == GATE_CODE["rz"]
        angle, which = np.unique(table.angle[turned], return_inverse=True)
        row[turned] = len(GATES) * self.n_qubits + which
        schedule = Schedule.of(table, self.length)
        layer, idle_zz = schedule.layer, self.config.idle_zz * self.config.strength > 0
        gates = TimedChannels.of(table.circuit_index, layer, 1, table.first, table.second, row)
        gates.phase[turned] = 0
        spectators = self._spectators(table, layer)
        idle, idle_qubit, idle_time = self._idle(schedule, by_layer=idle_zz)
        parts = [gates, spectators, idle]
        rows = len(GATES) * self.n_qubits + len(angle)
        for k, more in ((1, 0), (2, len(self.edges) * self.n_qubits)):
            rows += more
            parts[k] = replace(parts[k], row=parts[k].row + rows)
        pair, pair_time = np.zeros((0, 2), dtype=np.int64), np.zeros(0)
        if idle_zz:
            part, pair, pair_time = self._idle_zz(schedule)
            parts.append(replace(part, row=part.row + groups * len(self.edges)))
        sequence = TimedChannels.joined(parts).program(table)
        return ChannelPlan(sequence, angle, idle_qubit, idle_time, pair, pair_time)

    def channels(
        self, plan: ChannelPlan, constants: Constants, gates: DeviceNoise | None = None
    ) -> tuple[Tensor, Tensor]:
        """(R1, 4, 4) and (R2, 16, 16) tables that a plan's rows refer to.

        Args:
            gates: another device model of the same gates, to differentiate by its parameters.
        """
        gates = self.device if gates is None else gates
        one, two = self._with_errors(gates, constants)
        qubit = torch.from_numpy(plan.idle_qubit)
        idle = channels.thermal_relaxation(
            gates.parameters.t1[qubit],
            gates.parameters.t2[qubit],
            torch.from_numpy(plan.idle_time),
            gates.parameters.excited[qubit],
        )
        stark = channels.rotation("Z", torch.as_tensor(constants.stark).reshape(-1))
        if self.twirled:
            stark = channels.pauli_twirled(stark)
        one = torch.cat([one, z_rotations(torch.from_numpy(plan.angle)), stark, idle])
        if len(plan.pair):
            a, b = plan.pair.T
            angle = torch.as_tensor(constants.idle_zz)[a, b] * torch.from_numpy(plan.pair_time)
            two = torch.cat([two, channels.rotation("ZZ", angle)])
        return one, two

    def _with_errors(self, gates: DeviceNoise, constants: Constants) -> tuple[Tensor, Tensor]:
        """The base model's channels, each followed by its coherent errors and loss."""
        n = self.n_qubits
        blocks = list(gates.one.reshape(len(GATES), n, 4, 4))
        for k, gate in enumerate(("sx", "x")):
            code = GATE_CODE[gate]
            if constants.rz is not None:
                turn = channels.rotation("Z", torch.as_tensor(constants.rz))
                blocks[code] = channels.compose(turn, blocks[code])
            angle = torch.as_tensor(constants.rx[k])
            blocks[code] = channels.compose(channels.rotation("X", angle), blocks[code])
        two = gates.two
        for name, theta in [("ZZ", constants.zz), ("ZX", constants.zx), *constants.terms.items()]:
            two = channels.compose(channels.rotation(name, torch.as_tensor(theta)), two)
        loss = min(self.config.leakage * self.config.strength, 1.0)
        if loss:
            # The lost qubit reads 1: replaced by |1><1| with this probability.
            lost = channels.depolarizing(loss)
            lost[3, 0] = -loss
            two = channels.compose(channels.tensor(lost, lost), two)
        if self.twirled:
            ideal = self._ideal_two
            two = channels.pauli_twirled(two @ ideal.mT) @ ideal
        return torch.cat(blocks), two.reshape(-1, 16, 16)

    def _spectators(self, table: InstructionTable, layer: IntArray) -> TimedChannels:
        """RZ on every qubit outside a two-qubit gate, after its layer's gates."""
        n = self.n_qubits
        at = np.flatnonzero(table.second >= 0)
        if not self.config.stark * self.config.strength:
            at = at[:0]
        edge = self.device.two_row[table.gate[at], table.first[at], table.second[at]]
        qubit = np.broadcast_to(np.arange(n), (len(at), n))
        free = (qubit != table.first[at][:, None]) & (qubit != table.second[at][:, None])
        spread = np.repeat(at, free.sum(axis=1))
        row = (edge[:, None] * n + qubit)[free]
        return TimedChannels.of(
            table.circuit_index[spread], layer[spread], 2, qubit[free], None, row
        )

    def _idle(
        self, schedule: Schedule, by_layer: bool
    ) -> tuple[TimedChannels, IntArray, FloatArray]:
        """Relaxation of each qubit for the time between its gates, and until the end.

        Relaxation commutes with RZ, so the whole wait is one channel just before the next gate.
        With ZZ between idle neighbours, which it does not commute with, it is one a layer.
        """
        circuit, qubit, at, wait = schedule.waits_by_layer() if by_layer else schedule.waits()
        wait = wait * self.config.idle_relaxation * self.config.strength
        kept = wait > 1e-12
        circuit, qubit, at, wait = circuit[kept], qubit[kept], at[kept], wait[kept]
        distinct, row = _distinct(qubit, wait)
        part = TimedChannels.of(circuit, at, 3 if by_layer else 0, qubit, None, row)
        return part, qubit[distinct], wait[distinct]

    def _idle_zz(self, schedule: Schedule) -> tuple[TimedChannels, IntArray, FloatArray]:
        """ZZ between coupled neighbours that both have no gate in a layer, for its length."""
        pairs = np.unique(np.sort(self.edges, axis=1), axis=0)
        circuit, pair, at, wait = schedule.common_waits(pairs)
        distinct, row = _distinct(pair, wait)
        part = TimedChannels.of(circuit, at, 4, pairs[pair, 0], pairs[pair, 1], row)
        return part, pairs[pair[distinct]], wait[distinct]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Draw standard normal numbers to 2^-32: a tail's last bits hang on the processor."""
    rounded: FloatArray = np.rint(rng.standard_normal(shape) * 2.0**32) / 2.0**32
    return rounded


def _distinct(where: IntArray, time: FloatArray) -> tuple[IntArray, IntArray]:
    """(D,) an index of each distinct pair of values, (K,) which of these each one is."""
    times, rank = np.unique(time, return_inverse=True)
    key = where * (len(times) + 1) + rank
    _, index, row = np.unique(key, return_index=True, return_inverse=True)
    return index, row
