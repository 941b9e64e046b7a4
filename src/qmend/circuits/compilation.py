"""Compilation of source circuits to a device's native gates on a chain of its qubits.

Routing permutes qubits. Measurements are therefore added before compilation, and the
compiled circuit carries for every classical bit the chain position that it is read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from qiskit.transpiler.passmanager import StagedPassManager

from qmend.circuits.angles import from_steps, to_steps
from qmend.circuits.families import SourceCircuit
from qmend.circuits.gadgets import GadgetCompiler
from qmend.circuits.instructions import Instruction
from qmend.circuits.merging import merge_gates
from qmend.types import QmendError


@dataclass(frozen=True)
class CompiledCircuit:
    """Native instructions on chain positions, and where each classical bit is measured."""

    instructions: list[Instruction]
    measured: list[int]


#: A source circuit, its qubits all measured, to native instructions.
Compiler = Callable[[SourceCircuit], CompiledCircuit]


def build_compiler(
    name: str,
    n_qubits: int,
    native_gates: Sequence[str],
    edges: Sequence[tuple[int, int]],
    optimization_level: int,
) -> Compiler:
    """Build the compiler ``qiskit`` or ``direct`` for a chain.

    Raises:
        QmendError: if ``direct`` does not fit the device.
    """
    if name == "direct":
        direct = GadgetCompiler(n_qubits, native_gates, edges)

        def compile_gadgets(source: SourceCircuit) -> CompiledCircuit:
            if source.gadgets is None:
                raise QmendError(
                    "dataset.compiler.name=direct compiles products of Pauli gadgets only; use "
                    "dataset.compiler.name=qiskit for this family."
                )
            return CompiledCircuit(direct(source.gadgets), list(range(n_qubits)))

        return compile_gadgets
    passes = QiskitCompiler(n_qubits, native_gates, edges, optimization_level)
    return lambda source: passes(source.circuit)


class QiskitCompiler:
    """Qiskit's preset pass manager with the trivial layout on the chain.

    Args:
        n_qubits: length of the chain; position ``k`` starts as source qubit ``k``.
        native_gates: names of the device's gates.
        edges: coupled pairs of chain positions, both directions where the device has both.
        optimization_level: Qiskit's, 0 to 3. Angles come out on the grid of
            :mod:`qmend.circuits.angles`. At level 1 :func:`merge_gates` replaces Qiskit's own
            merging of gates, and at 0 nothing is merged: the same circuits on every processor.
            Levels 2 and 3 synthesise two-qubit gates in floating point; about one angle in
            10^4 of theirs, by chance on the edge between two steps, depends on the processor.
        seed: of the router.
    """

    def __init__(
        self,
        n_qubits: int,
        native_gates: Iterable[str],
        edges: Sequence[tuple[int, int]],
        optimization_level: int,
        seed: int = 0,
    ) -> None:
        self.n_qubits = n_qubits
        self._passes: StagedPassManager = generate_preset_pass_manager(
            optimization_level=optimization_level,
            basis_gates=[*native_gates, "measure"],
            coupling_map=CouplingMap([list(e) for e in edges]),
            initial_layout=list(range(n_qubits)),
            seed_transpiler=seed,
        )
        self._merges = optimization_level == 1
        if self._merges:
            self._passes.optimization = None

    def __call__(self, source: QuantumCircuit) -> CompiledCircuit:
        """Compile one source circuit, all its qubits measured into the bit of their number.

        Its angles must be rounded, see :func:`qmend.circuits.angles.round_circuit`.

        Raises:
            QmendError: if the circuit has more qubits than the chain.
        """
        if source.num_qubits > self.n_qubits:
            raise QmendError(
                f"The circuit has {source.num_qubits} qubits but the layout only {self.n_qubits}; "
                "choose a longer layout."
            )
        circuit = QuantumCircuit(self.n_qubits, source.num_qubits)
        circuit.compose(source, qubits=range(source.num_qubits), inplace=True)
        circuit.measure(range(source.num_qubits), range(source.num_qubits))
        isa_circuit = self._passes.run(circuit)
        instructions: list[Instruction] = []
        measured = [-1] * source.num_qubits
        for item in isa_circuit.data:
            positions = [isa_circuit.find_bit(q).index for q in item.qubits]
            name = item.operation.name
            if name == "measure":
                measured[isa_circuit.find_bit(item.clbits[0]).index] = positions[0]
            elif name != "barrier":
                steps = to_steps(item.operation.params[0]) if item.operation.params else 0
                second = positions[1] if len(positions) > 1 else -1
                instructions.append((name, positions[0], second, from_steps(steps)))
        if self._merges:
            instructions = merge_gates(instructions, self.n_qubits)
        return CompiledCircuit(instructions, measured)
