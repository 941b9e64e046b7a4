"""The choice of physical qubits: the connected ones of a device with the lowest error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf

from qmend.devices.calibration import Calibration
from qmend.gates import GATES, ONE_QUBIT, TWO_QUBIT
from qmend.portable import log
from qmend.types import QmendError

Edge = tuple[int, int]
_Found = tuple[float, tuple[int, ...]]
_NOTHING: _Found = (inf, ())
#: Cost of a qubit outside the wanted ones: more than the errors of any layout cost.
_OUTSIDE = 1e4
#: Faulty gates that a message names.
_SHOWN = 4


def lowest_error_layout(calibration: Calibration, n_qubits: int) -> tuple[int, ...]:
    """Find the connected physical qubits of the smallest error,

        1 - prod_qubits (1 - e_sx) (1 - e_readout) prod_edges (1 - e_2),

    among all simple paths of ``n_qubits``; where there is none, among all connected sets, with
    the edges of the set's best tree. The error of an edge is the larger of its two directions'.

    A qubit that lacks a value that simulation needs is avoided, and so is every edge that does
    or whose error is 1, which marks a faulty gate: no two of the qubits have such an edge. All
    edges have the same native gate. A path starts at its end of the lower number, a set is in
    ascending order; of equals the first in lexicographic order is taken.

    Raises:
        QmendError: if the device has no such qubits.
    """
    native_gates(calibration)
    layout = _best_layout([_Graph.of(calibration, gate) for gate in TWO_QUBIT], n_qubits)
    if not layout:
        raise QmendError(
            f"{calibration.device} has no {n_qubits} connected qubits whose gates all work and "
            "are calibrated; lower device.n_qubits or choose another device.backend."
        )
    return layout


def check_gates_work(calibration: Calibration, layout: Sequence[int]) -> None:
    """Refuse a layout on which a gate or a readout is faulty, by an error of 1.

    The message names the nearest layout without one: of the same length, or of the largest that
    the device has; of those, with the most qubits in common; of those, of the lowest error.

    Raises:
        QmendError: naming the faulty gates and that layout.
    """
    part = calibration.restrict(layout)
    faulty = [str(g) for g in part.gates if g.gate in GATES and _cost(g.error or 0.0) == inf]
    faulty += [f"readout of {q.qubit}" for q in part.qubits if _cost(q.readout_error or 0) == inf]
    if not faulty:
        return
    graphs = [_Graph.of(calibration, gate).around(layout) for gate in TWO_QUBIT]
    sizes = range(len(layout), min(len(layout), 2) - 1, -1)
    layouts = (_best_layout(graphs, n) for n in sizes)
    nearest = next(filter(None, layouts), ())
    way_out = f"the nearest that works is device.layout=[{','.join(map(str, nearest))}]"
    if not nearest:
        way_out = "choose another device, as this one has no connected qubits that work"
    elif len(nearest) < len(layout):
        way_out += f", as no {len(layout)} connected qubits work"
    more = f" and {len(faulty) - _SHOWN} more" if len(faulty) > _SHOWN else ""
    raise QmendError(
        f"device.layout {list(layout)} has faulty gates by the calibration of "
        f"{calibration.device}, with an error of 1: {', '.join(faulty[:_SHOWN])}{more}; {way_out}."
    )


def native_gates(calibration: Calibration) -> tuple[str, ...]:
    """List the gates of a calibration that circuits are compiled to.

    Raises:
        QmendError: if they do not make every one-qubit gate, as on processors of before 2021.
    """
    reported = {g.gate for g in calibration.gates}
    if not {"rz", "sx"} <= reported:
        raise QmendError(
            f"{calibration.device} has the gates {', '.join(sorted(reported))}, but circuits are "
            "compiled to rz, sx and x; choose another device.backend."
        )
    return tuple(g for g in (*ONE_QUBIT, *TWO_QUBIT) if g in reported)


@dataclass(frozen=True)
class _Graph:
    """Costs -log(1 - e) of usable qubits and edges; ``bad`` edges exclude a layout."""

    qubit: dict[int, float]
    edge: dict[Edge, float]
    bad: frozenset[Edge]
    near: dict[int, list[int]]

    @staticmethod
    def of(calibration: Calibration, two_qubit: str) -> _Graph:
        usable = {
            q.qubit: _cost(q.readout_error)
            for q in calibration.qubits
            if q.t1_us is not None and q.t2_us is not None
        }
        one: dict[int, dict[str, float]] = {}
        edge: dict[Edge, float] = {}
        for gate in calibration.gates:
            if gate.gate not in GATES:
                continue
            cost = inf if gate.length_ns is None else _cost(gate.error)
            if gate.gate in TWO_QUBIT:
                cost = cost if gate.gate == two_qubit else inf
                key = _edge(gate.qubits[0], gate.qubits[1])
                edge[key] = max(cost, edge.get(key, 0.0))
            else:
                one.setdefault(gate.qubits[0], {})[gate.gate] = cost
        qubit = {}
        for q, readout in usable.items():
            gates = one.get(q, {})
            if {"rz", "sx"} <= gates.keys() and max(readout, *gates.values()) < inf:
                qubit[q] = readout + gates["sx"]
        near: dict[int, list[int]] = {q: [] for q in qubit}
        for (a, b), cost in sorted(edge.items()):
            if cost < inf and a in near and b in near:
                near[a].append(b)
                near[b].append(a)
        bad = frozenset(e for e, cost in edge.items() if cost == inf)
        return _Graph(qubit, edge, bad, near)

    def around(self, layout: Sequence[int]) -> _Graph:
        """Return the graph in which qubits outside a layout are dear."""
        cost = {q: cost + _OUTSIDE * (q not in layout) for q, cost in self.qubit.items()}
        return replace(self, qubit=cost)

    def fits(self, new: int, chosen: Iterable[int]) -> bool:
        """Say whether a qubit may join others: no faulty gate between them."""
        return not any(_edge(new, q) in self.bad for q in chosen)


def _best_layout(graphs: Sequence[_Graph], n: int) -> tuple[int, ...]:
    """Return the best path or, where there is none, the best set; empty where there is neither."""
    cost, layout = min(_best_path(graph, n) for graph in graphs)
    return min(_best_set(graph, n) for graph in graphs)[1] if cost == inf else layout


def _best_path(graph: _Graph, n: int) -> _Found:
    """Depth-first search over all simple paths; partial ones that cost too much are cut off."""
    best = _NOTHING
    step = min(graph.qubit.values(), default=0.0) + min(graph.edge.values(), default=0.0)

    def extend(path: tuple[int, ...], cost: float) -> None:
        nonlocal best
        if cost + (n - len(path)) * step > best[0] + 1e-12:
            return
        if len(path) == n:
            if path[0] <= path[-1]:
                best = min(best, (round(cost, 12), path))
            return
        for q in graph.near[path[-1]]:
            if q not in path and graph.fits(q, path):
                extend((*path, q), cost + graph.qubit[q] + graph.edge[_edge(path[-1], q)])

    for q, cost in sorted(graph.qubit.items(), key=lambda item: item[1]):
        extend((q,), cost)
    return best


def _best_set(graph: _Graph, n: int) -> _Found:
    """All connected sets, grown qubit by qubit."""
    sets = {frozenset([q]) for q in graph.qubit}
    for _ in range(n - 1):
        sets = {
            chosen | {q}
            for chosen in sets
            for at in chosen
            for q in graph.near[at]
            if q not in chosen and graph.fits(q, chosen)
        }
    return min(
        ((round(_tree_cost(graph, chosen), 12), tuple(sorted(chosen))) for chosen in sets),
        default=_NOTHING,
    )


def _tree_cost(graph: _Graph, chosen: frozenset[int]) -> float:
    """Qubits and the edges of the minimum spanning tree (Prim)."""
    reached = {min(chosen)}
    total = sum(graph.qubit[q] for q in sorted(chosen))
    while len(reached) < len(chosen):
        cost, q = min(
            (graph.edge[_edge(a, b)], b)
            for a in reached
            for b in graph.near[a]
            if b in chosen and b not in reached
        )
        reached.add(q)
        total += cost
    return total


def _edge(a: int, b: int) -> Edge:
    return (a, b) if a < b else (b, a)


@lru_cache(maxsize=2**14)  # each two-qubit gate's graph has the same one-qubit gates
def _cost(error: float | None) -> float:
    return inf if error is None or error >= 1 else -float(log(1 - error))
