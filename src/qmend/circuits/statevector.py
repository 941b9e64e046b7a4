"""Exact noiseless distributions: of compiled instruction tables, and of source circuits.

The two share no code: each proves the other. Bit order is Qiskit's: qubit 0 is the
least significant bit of an index.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qmend import portable
from qmend.circuits.instructions import InstructionTable
from qmend.gates import GATE_CODE, GATES, TWO_QUBIT
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

if TYPE_CHECKING:  # Qiskit takes seconds to import
    from qiskit.circuit import QuantumCircuit

#: Statevectors have this many qubits at most.
MAX_STATE_QUBITS = 20
#: Matrices of the native gates without an angle, on |second first>: the gate's first qubit is the
#: less significant bit.
UNITARIES: dict[str, AnyArray] = {
    "id": np.eye(2, dtype=complex),
    "x": np.array([[0, 1], [1, 0]], dtype=complex),
    "sx": np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2,
    "cx": np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=complex),
    "cz": np.diag([1, 1, 1, -1]).astype(complex),
    "ecr": np.array([[0, 1, 0, 1j], [1, 0, -1j, 0], [0, 1j, 0, 1], [-1j, 0, 1, 0]]) / np.sqrt(2),
}


def compiled_states(table: InstructionTable) -> AnyArray:
    """(N, 2^n) final statevectors of compiled circuits from \\|0...0>, chain order.

    The bits are the same on every processor, see :mod:`qmend.portable`.

    Raises:
        QmendError: if there are too many qubits.
    """
    if table.n_qubits > MAX_STATE_QUBITS:
        raise QmendError(
            f"Circuits on {table.n_qubits} qubits have too large a statevector; the limit is "
            f"{MAX_STATE_QUBITS}."
        )
    one = np.zeros((len(GATES), 2, 2), dtype=complex)
    two = np.zeros((len(GATES), 4, 4), dtype=complex)
    for gate, matrix in UNITARIES.items():
        (two if gate in TWO_QUBIT else one)[GATE_CODE[gate]] = matrix
    cosine, sine = portable.cos_sin(table.angle / 2)
    states = np.zeros((len(table), 2**table.n_qubits), dtype=complex)
    _compiled_evolution()(
        table.offsets,
        table.gate,
        table.first,
        table.second,
        GATE_CODE["rz"],
        cosine + 1j * sine,
        one,
        two,
        states,
    )
    return states


def _evolve_one_by_one(
    offsets: IntArray,
    gate: IntArray,
    first: IntArray,
    second: IntArray,
    rz: int,
    phase: AnyArray,
    one: AnyArray,
    two: AnyArray,
    states: AnyArray,
) -> None:
    """Fill ``states`` (N, 2^n).

    Args:
        phase: (K,) exp(i angle / 2).
        one, two: (gates, 2, 2) and (gates, 4, 4) matrices by code.
    """
    size = states.shape[1]
    before = np.empty(4, dtype=np.complex128)
    for circuit in range(len(states)):
        state = states[circuit]
        state[0] = 1.0
        for k in range(offsets[circuit], offsets[circuit + 1]):
            low = 1 << first[k]
            if gate[k] == rz:
                for s in range(size):
                    state[s] *= phase[k] if s & low else phase[k].conjugate()
            elif second[k] < 0:
                matrix = one[gate[k]]
                for s in range(size):
                    if not s & low:
                        a, b = state[s], state[s + low]
                        state[s] = matrix[0, 0] * a + matrix[0, 1] * b
                        state[s + low] = matrix[1, 0] * a + matrix[1, 1] * b
            else:
                high = 1 << second[k]
                matrix = two[gate[k]]
                for s in range(size):
                    if not s & (low | high):
                        for j in range(4):
                            before[j] = state[s + (j & 1) * low + (j >> 1) * high]
                        for i in range(4):
                            total = matrix[i, 0] * before[0]
                            for j in range(1, 4):
                                total += matrix[i, j] * before[j]
                            state[s + (i & 1) * low + (i >> 1) * high] = total


@cache
def _compiled_evolution() -> Callable[..., None]:
    """Compile :func:`_evolve_one_by_one`; numba loads slowly."""
    import numba

    return cast("Callable[..., None]", numba.njit(cache=True, nogil=True)(_evolve_one_by_one))


def compiled_probabilities(table: InstructionTable) -> FloatArray:
    """(N, 2^n) noiseless output distribution of compiled circuits, chain order."""
    states = compiled_states(table)
    probabilities: FloatArray = states.real * states.real + states.imag * states.imag
    return probabilities


def measured_marginals(chain: FloatArray, measured: IntArray) -> FloatArray:
    """Sum distributions over the qubits that are not measured.

    Args:
        chain: (N, 2^n) with bit ``p`` of the index the qubit at chain position ``p``.
        measured: (N, m) chain position behind each classical bit.

    Returns:
        (N, 2^m) in chain order: bit ``k`` of the index is the k-th of the measured positions.
    """
    rows, size = chain.shape
    outcomes = 1 << measured.shape[1]
    if outcomes == size:
        return chain
    seen = (np.arange(size)[:, None] >> np.sort(measured, axis=1)[:, None, :]) & 1
    index = seen @ (1 << np.arange(measured.shape[1])) + outcomes * np.arange(rows)[:, None]
    summed = np.bincount(index.reshape(-1), chain.reshape(-1), minlength=rows * outcomes)
    marginals: FloatArray = summed.astype(np.float64).reshape(rows, outcomes)
    return marginals


def to_bit_order(chain: FloatArray, measured: IntArray) -> FloatArray:
    """Convert distributions of the measured qubits from chain order to the source's bit order.

    Args:
        chain: (N, 2^m) with bit ``k`` of the index the k-th of the measured positions.
        measured: (N, m) chain position behind each classical bit.
    """
    return np.take_along_axis(chain, _chain_index(measured), axis=1)


def read_out(chain: FloatArray, measured: IntArray) -> FloatArray:
    """Distributions (N, 2^n) of the whole chain as they are measured: (N, 2^m), in bit order."""
    return to_bit_order(measured_marginals(chain, measured), measured)


def to_chain_order(source: FloatArray, measured: IntArray) -> FloatArray:
    """Convert distributions to chain order; the inverse of :func:`to_bit_order`."""
    out = np.empty_like(source)
    np.put_along_axis(out, _chain_index(measured), source, axis=1)
    return out


def _chain_index(measured: IntArray) -> IntArray:
    """(N, 2^m) chain-order index of each source-order index."""
    m = measured.shape[1]
    bits = (np.arange(2**m)[:, None] >> np.arange(m)) & 1  # (2^m, m) bit k of each index
    place = measured.argsort(axis=1).argsort(axis=1)  # among the measured positions
    index: IntArray = np.einsum("sk,nk->ns", bits, np.int64(1) << place)
    return index


def source_state(circuit: QuantumCircuit) -> AnyArray:
    """(2^n,) final statevector of a source circuit without noise, measurements ignored.

    A Pauli gadget exp(-i a P) is applied as cos(a) - i sin(a) P, every other gate by its
    matrix.
    """
    from qiskit.quantum_info import Operator

    n = circuit.num_qubits
    state = np.zeros(2**n, dtype=complex)
    state[0] = 1
    for item in circuit.data:
        name = item.operation.name
        if name in ("barrier", "measure"):
            continue
        qubits = [circuit.find_bit(q).index for q in item.qubits]
        gadget = _pauli_gadget(item.operation)
        if gadget is not None:
            letters = ["I"] * n
            for letter, qubit in zip(reversed(gadget[0]), qubits, strict=True):
                letters[qubit] = letter
            state = apply_pauli_gadget(state, "".join(letters), gadget[1])
        else:
            state = _apply(state, Operator(item.operation).data, qubits, n)
    return state


def _pauli_gadget(operation: Any) -> tuple[str, float] | None:
    """Read Pauli string (first qubit last) and angle of a gate exp(-i angle P), else None."""
    from qiskit.circuit.library import PauliEvolutionGate
    from qiskit.quantum_info import SparsePauliOp

    if not isinstance(operation, PauliEvolutionGate):
        return None
    operator = operation.operator
    if not isinstance(operator, SparsePauliOp) or len(operator) != 1:
        return None
    return operator.paulis[0].to_label(), float(operation.time) * float(operator.coeffs[0].real)


@lru_cache(maxsize=4096)
def pauli_action(letters: str) -> tuple[int, AnyArray]:
    """Return (flip, phase) with (P psi)[s] = phase[s] psi[s ^ flip]; letters qubit 0 first."""
    bits = (np.arange(2 ** len(letters))[:, None] >> np.arange(len(letters))) & 1
    flip, phase = 0, np.ones(len(bits), dtype=complex)
    for qubit, letter in enumerate(letters):
        if letter in "XY":
            flip |= 1 << qubit
        if letter == "Z":
            phase *= 1 - 2 * bits[:, qubit]
        if letter == "Y":  # <1|Y|0> = i, <0|Y|1> = -i
            phase *= 1j * (2 * bits[:, qubit] - 1)
    return flip, phase


def apply_pauli_gadget(state: AnyArray, letters: str, angle: float) -> AnyArray:
    """Apply exp(-i angle P) to a statevector; letters qubit 0 first."""
    flip, phase = pauli_action(letters)
    source = np.arange(len(state)) ^ flip
    result: AnyArray = np.cos(angle) * state - 1j * np.sin(angle) * phase * state[source]
    return result


def _apply(state: AnyArray, matrix: AnyArray, qubits: list[int], n: int) -> AnyArray:
    k = len(qubits)
    tensor = state.reshape((2,) * n)
    axes = [n - 1 - q for q in reversed(qubits)]  # most significant gate qubit first
    tensor = np.tensordot(matrix.reshape((2,) * (2 * k)), tensor, axes=(range(k, 2 * k), axes))
    result: AnyArray = np.moveaxis(tensor, range(k), axes).reshape(-1)
    return result
