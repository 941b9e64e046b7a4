"""Constants of fitted surrogate hardware: the config's own, else drawn from their spread.

The factors' exponentials are those of :mod:`qmend.portable`: a seed draws the same bits on every
processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qmend.noise.config import FittedConfig
from qmend.noise.constants_config import REVERSED, GateConstants, QubitConstants
from qmend.portable import exp, standard_normal

Pair = tuple[int, int]


def generator(config: FittedConfig, *key: int) -> np.random.Generator:
    """Return the stream of random numbers of a qubit, a gate or a job."""
    return np.random.default_rng(np.random.SeedSequence(config.device_seed, spawn_key=key))


def qubit_constants(config: FittedConfig, qubit: int, readout_error: float) -> QubitConstants:
    """Return the constants of a physical qubit, drawn where the config has none.

    Args:
        readout_error: the calibration's, which the drawn flips scale.
    """
    constants = config.qubits.get(qubit)
    if constants is not None:
        return constants
    spread = config.spread
    factors = np.array([spread.t1, spread.t2, spread.error, spread.flip_up, spread.flip_down])
    z = standard_normal(generator(config, 1, qubit), 8)
    t1, t2, error, up, down = exp(factors[:, 0] + factors[:, 1] * z[:5]).tolist()
    sx, x, rz = z[5:].tolist()
    return QubitConstants(
        t1=t1,
        t2=t2,
        error=error,
        flip_up=min(readout_error * up, 0.5),
        flip_down=min(readout_error * down, 0.5),
        sx=spread.rx * sx,
        x=spread.rx * x,
        rz=spread.rz * rz,
    )


def gate_constants(
    config: FittedConfig, pair: Pair, native: Pair, layout: Sequence[int]
) -> GateConstants:
    """Return the constants of a directed gate; a drawn pair shares them between its directions.

    Args:
        native: the pair in the device's own direction.
        layout: physical qubits of the chain, whose others get phases.
    """
    constants = config.gates.get(f"{pair[0]}-{pair[1]}")
    spread = config.spread
    rng = generator(config, 2, *native)
    mean, std = spread.gate_error
    error = float(exp(mean + std * standard_normal(rng, 1))[0])
    terms = draw_terms(spread.terms, rng)
    if constants is None:
        terms = terms if pair == native else reversed_terms(terms)
        constants = GateConstants(error=error, terms=terms, drift=spread.drift)
    missing = [q for q in layout if q not in pair and q not in constants.stark]
    stark = {
        q: spread.stark * float(standard_normal(generator(config, 4, *native, q), 1)[0])
        for q in missing
    }
    return constants.model_copy(update={"stark": {**constants.stark, **stark}})


def reversed_terms(terms: Mapping[str, float]) -> dict[str, float]:
    """Errors of the device's own direction of a gate as they appear in the other direction."""
    return {REVERSED[term][0]: REVERSED[term][1] * angle for term, angle in terms.items()}


def draw_terms(deviations: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Draw normal angles, in an order that the file's does not change."""
    terms = [term for term in REVERSED if term in deviations]
    draws = standard_normal(rng, len(terms)).tolist()
    return {term: deviations[term] * z for term, z in zip(terms, draws, strict=True)}
