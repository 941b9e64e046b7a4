"""Read a circuit's outcomes, in any form that Qiskit gives, as frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from qiskit.primitives import BitArray

from qmend.circuits.measured import MeasuredCircuit
from qmend.datasets.circuits import NORMALISATION_TOLERANCE
from qmend.types import AnyArray, FloatArray, QmendError

#: Outcomes of one circuit: counts by bitstring, number or hexadecimal; a ``BitArray``; an array
#: with a value for each outcome. Whole numbers are counts, others probabilities.
Counts: TypeAlias = Mapping[Any, int] | Mapping[Any, float] | BitArray | AnyArray


def read_counts(
    counts: Counts, source: MeasuredCircuit, shots: int | None
) -> tuple[FloatArray, int]:
    """Return frequencies (2^m,) of the m measured classical bits, and their shots.

    A single outcome 1 is a probability if ``shots`` says so or the 1 is no whole number.

    Args:
        shots: behind probabilities; None: those of the counts.

    Raises:
        QmendError: if an outcome or a value can't be, or probabilities come without shots.
    """
    values = _outcome_values(counts, source)
    numbers = np.array(list(values.values()), dtype=np.float64)
    total = float(numbers.sum())
    if not np.isfinite(total) or (numbers < 0).any() or total == 0:
        raise QmendError("its counts are empty, negative or not finite")
    single = shots in (None, 1) and all(isinstance(value, Integral) for value in values.values())
    if (numbers == np.round(numbers)).all() and (total > 1 or single):
        if shots not in (None, int(total)):
            raise QmendError(f"its counts add up to {int(total)}, not to shots={shots}")
        shots = int(total)
    elif not abs(total - 1) <= NORMALISATION_TOLERANCE:
        raise QmendError(f"its probabilities sum to {total:.6g}, not 1")
    elif shots is None or shots < 1:
        raise QmendError("probabilities need the number of shots behind them: give shots=")
    frequencies = np.zeros(1 << len(source.measured))
    unmeasured = ((1 << source.n_clbits) - 1) & ~sum(1 << bit for bit in source.clbits)
    for outcome, value in values.items():
        if outcome & unmeasured and value:
            raise QmendError("its counts have a 1 in a classical bit that nothing is measured into")
        frequencies[sum((outcome >> bit & 1) << k for k, bit in enumerate(source.clbits))] += value
    return frequencies / total, shots


def _outcome_values(counts: Counts, source: MeasuredCircuit) -> dict[int, Any]:
    """Map outcomes, as numbers over all classical bits, to counts or probabilities."""
    bits = source.n_clbits
    if isinstance(counts, BitArray):
        if counts.size != 1:
            raise QmendError(
                f"its BitArray has {counts.size} parameter sets; give each alone, with its circuit"
            )
        if counts.num_bits != bits:
            raise QmendError(
                f"its BitArray has {counts.num_bits} bits, the circuit {bits} classical bits; join "
                "those of all registers"
            )
        return dict(counts.get_int_counts())
    if isinstance(counts, Mapping):
        values: dict[int, Any] = {}
        for key, value in counts.items():
            if not isinstance(value, int | float | np.number):
                raise QmendError(f"the outcome {key!r} has the value {value!r}, which is no number")
            outcome = _outcome(key, bits)
            values[outcome] = values.get(outcome, 0) + value
        return values
    array = np.asarray(counts)
    if array.shape != (1 << bits,) or array.dtype.kind not in "iuf":
        raise QmendError(
            f"its outcomes have shape {array.shape} and type {array.dtype}; {bits} classical bits "
            f"need ({1 << bits},) numbers"
        )
    return dict(enumerate(array.tolist()))


def _outcome(key: Any, bits: int) -> int:
    """Read an outcome's number.

    Raises:
        QmendError: if it is none of the circuit's.
    """
    text = str(key).replace(" ", "")  # Qiskit puts one between registers
    try:
        if isinstance(key, int | np.integer):
            outcome, fits = int(key), True
        elif text.startswith("0x"):
            outcome, fits = int(text, 16), True
        else:
            outcome, fits = int(text, 2), len(text) == bits
    except ValueError:
        raise QmendError(f"the outcome {key!r} is neither bits nor a number") from None
    if not fits or not 0 <= outcome < 1 << bits:
        raise QmendError(f"the outcome {key!r} does not fit the circuit's {bits} classical bits")
    return outcome
