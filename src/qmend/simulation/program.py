"""Programs of the simulators: noisy circuits as sequences of channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from qmend.types import IntArray, QmendError

#: 4^8 coefficients a circuit are half a MiB; beyond that a batch no longer fits a processor.
MAX_QUBITS = 8


@dataclass(frozen=True)
class Program:
    """Many circuits, each a sequence of one- and two-qubit channels.

    Attributes:
        n_qubits: register size.
        offsets: (N + 1,) start of each circuit in the flat arrays.
        first: (K,) qubit, the first of two.
        second: (K,) second qubit, -1 for a one-qubit channel.
        row: (K,) row of ``one`` or of ``two``.
        one: (R1, 4, 4) one-qubit channels.
        two: (R2, 16, 16) two-qubit channels, first qubit less significant.
    """

    n_qubits: int
    offsets: IntArray
    first: IntArray
    second: IntArray
    row: IntArray
    one: Tensor
    two: Tensor

    def __post_init__(self) -> None:
        for name, qubits in (("first", self.first), ("second", self.second)):
            if len(qubits) and qubits.max() >= self.n_qubits:
                raise QmendError(
                    f"A channel's {name} qubit is {qubits.max()}, outside the register of "
                    f"{self.n_qubits}; choose a layout that holds the circuit."
                )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def check_size(self) -> None:
        """Refuse a program that is too large to be simulated.

        Raises:
            QmendError: if it has more than :data:`MAX_QUBITS` qubits.
        """
        if self.n_qubits > MAX_QUBITS:
            raise QmendError(
                f"The simulator holds 4^n coefficients a circuit: {self.n_qubits} qubits are too "
                f"many, {MAX_QUBITS} the limit; choose a shorter layout."
            )


def z_strings(n: int) -> IntArray:
    """(2^n,) index among the 4^n Pauli strings of Z on the set bits of s, for every s."""
    s = np.arange(2**n)
    return sum((3 * ((s >> q) & 1) * 4**q for q in range(n)), np.zeros(2**n, dtype=np.int64))
