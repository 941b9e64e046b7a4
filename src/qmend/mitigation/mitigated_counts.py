"""Mitigated distribution of a Qiskit circuit, in its own bit order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmend.circuits.statevector import to_bit_order
from qmend.mitigation.measurement import Measurement
from qmend.types import FloatArray, QmendError


@dataclass(frozen=True)
class MitigatedCounts:
    """Mitigated distribution of one circuit, in the circuit's own bit order.

    Attributes:
        probabilities: (2^m,) of the m measured classical bits; bit ``k`` of an index is the
            ``k``-th of ``clbits``.
        clbits: measured classical bits, ascending.
        register_sizes: of the circuit's classical registers, for its bitstrings; all bits as one
            where registers overlap or leave bits out.
        shots: behind the circuit's own counts.
        abstained: why the network's guard gave the input back, in a sentence; empty: it did not.
    """

    probabilities: FloatArray
    clbits: tuple[int, ...]
    register_sizes: tuple[int, ...]
    shots: int
    abstained: str = ""

    @staticmethod
    def of(measurement: Measurement, mitigated: FloatArray, abstained: str = "") -> MitigatedCounts:
        """Bring a distribution (2^m,) from chain order to the circuit's own.

        Raises:
            QmendError: if it is not finite.
        """
        if not np.isfinite(mitigated).all():
            raise QmendError(
                "A mitigated distribution is not finite: the network diverged in training; take "
                "another one."
            )
        circuit = measurement.circuit
        own = to_bit_order(mitigated[None], np.array([circuit.measured]))[0]
        registers, clbits = circuit.written.cregs, circuit.written.clbits
        in_order = [bit for register in registers for bit in register] == clbits
        sizes = tuple(register.size for register in registers) if in_order else (len(clbits),)
        return MitigatedCounts(own, circuit.source.clbits, sizes, measurement.shots, abstained)

    def to_dict(self, smallest: float = 0.0) -> dict[str, float]:
        """Map bitstrings, written as Qiskit writes counts, to probabilities above ``smallest``."""
        distribution = {}
        for index in np.flatnonzero(self.probabilities > smallest).tolist():
            bits = ["0"] * sum(self.register_sizes)
            for k, clbit in enumerate(self.clbits):
                bits[clbit] = str(index >> k & 1)
            registers, start = [], 0
            for size in self.register_sizes:
                registers.append("".join(reversed(bits[start : start + size])))
                start += size
            distribution[" ".join(reversed(registers))] = float(self.probabilities[index])
        return distribution
