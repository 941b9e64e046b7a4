"""A circuit on physical qubits: as it was executed, or compiled by us to a stated chain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.instructions import Instruction
from qmend.circuits.measured import MeasuredCircuit, native_instructions
from qmend.devices.calibration import Calibration
from qmend.devices.device import device_from_calibration
from qmend.devices.layout import lowest_error_layout
from qmend.devices.providers import fake_calibration
from qmend.gates import GATES, TWO_QUBIT
from qmend.importing.openqasm import own_gate
from qmend.types import QmendError

#: Submitted circuits are compiled with Qiskit's preset passes of this level.
OPTIMIZATION_LEVEL = 1
#: Native gates where nothing is known of a device.
DEFAULT_GATES = ("rz", "sx", "x", "cx")
#: The search for the lowest error visits all simple paths: not for longer ones.
_SEARCHED_QUBITS = 10
#: Processors that were renamed.
_SNAPSHOT_OF = {"ibmqx2": "yorktown", "ibmq_5_yorktown": "yorktown"}

Edge = tuple[int, int]
#: ``recorded``: the record names the qubits; ``assumed``: it does not, or names qubits that the
#: device does not join, and a chain was chosen; ``executed``: the circuit itself names them.
LayoutOrigin = Literal["recorded", "assumed", "executed"]


@dataclass(frozen=True)
class Chain:
    """The place of a circuit on a device.

    Attributes:
        layout: physical qubit at each chain position.
        edges: directed pairs of chain positions that two-qubit gates may use.
        native_gates: what circuits are compiled to.
        origin: where ``layout`` is from.
    """

    layout: tuple[int, ...]
    edges: tuple[Edge, ...]
    native_gates: tuple[str, ...]
    origin: LayoutOrigin

    @property
    def two_qubit_gate(self) -> str:
        return next((g for g in self.native_gates if g in TWO_QUBIT), "cx")


@dataclass(frozen=True)
class PlacedCircuit:
    """Native instructions on a chain.

    Attributes:
        measured: chain position behind each measured classical bit.
    """

    chain: Chain
    instructions: list[Instruction]
    measured: tuple[int, ...]


def place_executed(
    source: MeasuredCircuit, device: str, physical_qubits: Sequence[int] | None
) -> PlacedCircuit:
    """Place a circuit as it ran; by default the program numbers physical qubits.

    Raises:
        QmendError: if a gate is not native, or the qubits do not fit. A program's definition
            does not change what a device executes under a gate's name.
    """
    for item in source.circuit.data:
        own = own_gate(item.operation.name)
        if own is not None:
            raise QmendError(
                f"its program defines a gate {own!r} of its own, but an executed circuit is of "
                f"the device's gates ({', '.join(GATES)}); if this is the circuit before "
                "compilation, say circuit_stage: submitted"
            )
    instructions = native_instructions(source, GATES)
    layout = tuple(_physical(source, physical_qubits))
    snapshot = device_snapshot(device)
    used = {(a, b) for _, a, b, _ in instructions if b >= 0}
    edges = tuple(sorted(used | {(b, a) for a, b in used}))
    native = DEFAULT_GATES[:3] if snapshot is None else {g.gate for g in snapshot.gates}
    gates = tuple(g for g in GATES if g in {*native, *(gate for gate, *_ in instructions)})
    chain = Chain(layout, edges, gates, "executed")
    return PlacedCircuit(chain, instructions, source.measured)


def place_submitted(
    source: MeasuredCircuit, device: str, physical_qubits: Sequence[int] | None
) -> PlacedCircuit:
    """Compile a circuit to the native gates of a chain of the device.

    Raises:
        QmendError: if ``physical_qubits`` does not fit, or the device is too small.
    """
    named = physical_qubits is not None or source.physical
    recorded = tuple(_physical(source, physical_qubits)) if named else None
    chain = device_chain(device, source.n_qubits, recorded)
    compiled = _compiler(chain)(source.circuit)
    measured = tuple(compiled.measured[q] for q in source.measured)
    return PlacedCircuit(chain, compiled.instructions, measured)


def unknown_parts(placed: PlacedCircuit, snapshot: Calibration) -> str:
    """Name the qubits and gates of a circuit that a device's snapshot lacks; empty if none."""
    layout = placed.chain.layout
    qubits = {q.qubit for q in snapshot.qubits}
    gates = {(g.gate, g.qubits) for g in snapshot.gates}
    kinds = {gate for gate, _ in gates}
    used = {
        (gate, tuple(layout[k] for k in positions if k >= 0))
        for gate, *positions, _ in placed.instructions
    }
    names = [f"qubit {q}" for q in sorted(set(layout) - qubits)]
    names += [f"gate {gate}" for gate in sorted({gate for gate, _ in used} - kinds)]
    names += [
        f"{gate} on {' and '.join(map(str, on))}"
        for gate, on in sorted(used - gates)
        if gate in kinds and qubits.issuperset(on)
    ]
    return ", ".join(names)


def _physical(source: MeasuredCircuit, physical_qubits: Sequence[int] | None) -> list[int]:
    if physical_qubits is None:
        return list(source.qubits)
    if source.physical:
        if not set(source.qubits) <= set(physical_qubits):
            raise QmendError(
                f"its program names the physical qubits {', '.join(f'${q}' for q in source.qubits)}"
                ", physical_qubits names others; leave physical_qubits out"
            )
        return list(source.qubits)
    if max(source.qubits) >= len(physical_qubits):
        raise QmendError(
            f"physical_qubits names {len(physical_qubits)} qubits, but the circuit uses its qubit "
            f"{max(source.qubits)}; name one physical qubit for each"
        )
    return [physical_qubits[q] for q in source.qubits]


@lru_cache(maxsize=256)
def device_chain(device: str, n_qubits: int, recorded: tuple[int, ...] | None) -> Chain:
    """Choose the qubits that a submitted circuit is compiled to.

    Those recorded, if the device joins them; else, of a device with a shipped snapshot, the
    connected qubits of the lowest error; else a line of qubits 0, 1, 2, ...

    Raises:
        QmendError: if the device has too few qubits.
    """
    snapshot = device_snapshot(device)
    if snapshot is None:
        layout = recorded or tuple(range(n_qubits))
        line = [(k, k + 1) for k in range(n_qubits - 1)]
        edges = tuple(sorted(line + [(b, a) for a, b in line]))
        return Chain(layout, edges, DEFAULT_GATES, "recorded" if recorded else "assumed")
    if recorded:
        try:
            chain = device_from_calibration(snapshot, recorded)
            return Chain(chain.layout, chain.edges, chain.native_gates, "recorded")
        except QmendError:
            pass  # the snapshot is of another date: qubits that it does not join are not usable
    if n_qubits > len(snapshot.qubits):
        raise QmendError(f"it has {n_qubits} qubits, {device} only {len(snapshot.qubits)}")
    search = lowest_error_layout if n_qubits <= _SEARCHED_QUBITS else _neighbours
    chain = device_from_calibration(snapshot, search(snapshot, n_qubits))
    return Chain(chain.layout, chain.edges, chain.native_gates, "assumed")


def _neighbours(snapshot: Calibration, n_qubits: int) -> tuple[int, ...]:
    """Connected qubits in the order of a breadth-first search, from the first that has enough."""
    pairs = [g.qubits for g in snapshot.gates if g.gate in TWO_QUBIT and g.error not in (None, 1.0)]
    for start in sorted(q.qubit for q in snapshot.qubits):
        reached = [start]
        for at in reached:
            near = sorted({q for pair in pairs if at in pair for q in pair} - set(reached))
            reached.extend(near)
            if len(reached) >= n_qubits:
                return tuple(reached[:n_qubits])
    raise QmendError(f"{snapshot.device} has no {n_qubits} connected qubits")


@lru_cache(maxsize=64)
def device_snapshot(device: str) -> Calibration | None:
    """Load the snapshot of a processor that qiskit-ibm-runtime ships."""
    if device not in _SNAPSHOT_OF and not re.match(r"(ibmq?|fake)_\w+$", device):
        return None
    stem = _SNAPSHOT_OF.get(device, device.rpartition("_")[2]).capitalize()
    for backend in (f"Fake{stem}", f"Fake{stem}V2"):
        try:
            return fake_calibration(backend)
        except QmendError:
            continue
    return None


@lru_cache(maxsize=64)
def _compiler(chain: Chain) -> QiskitCompiler:
    return QiskitCompiler(len(chain.layout), chain.native_gates, chain.edges, OPTIMIZATION_LEVEL)
