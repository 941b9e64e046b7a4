"""Constants of the qubits and gates of a fitted device, as a noise config lists them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qmend.config.model import ConfigModel

#: Coherent errors after a two-qubit gate, in the order in which they are applied.
TERMS = ("ZZ", "ZX", "XX", "IX", "IY", "IZ", "ZI", "ZY", "XI", "YI", "YX")
#: A gate whose control and target are exchanged is the device's own between Hadamards, so an
#: error of the device's own gate appears in it as another string, with this sign.
REVERSED: dict[str, tuple[str, int]] = {
    "ZZ": ("XX", 1),
    "ZX": ("ZX", 1),
    "IX": ("ZI", 1),
    "IY": ("YI", -1),
    "IZ": ("XI", 1),
    "ZI": ("IX", 1),
    "ZY": ("YX", -1),
}

Factor = Annotated[float, Field(gt=0)]
Flip = Annotated[float, Field(ge=0, le=0.5)]
Term = Annotated[str, Field(pattern=f"^({'|'.join(TERMS)})$")]
NativeTerm = Annotated[str, Field(pattern=f"^({'|'.join(REVERSED)})$")]
Deviation = Annotated[float, Field(ge=0)]


class QubitConstants(ConfigModel):
    """One physical qubit.

    Attributes:
        t1, t2, error: factors on its T1, T2 and one-qubit gate errors.
        sx, x: angle (rad) of the RX after each.
        rz: of the RZ after both.
        flip_up, flip_down: readout's P(1|0) and P(0|1); the calibration's error by default.
    """

    t1: Factor = 1.0
    t2: Factor = 1.0
    error: Factor = 1.0
    sx: float = 0.0
    x: float = 0.0
    rz: float = 0.0
    flip_up: Flip | None = None
    flip_down: Flip | None = None


class GateConstants(ConfigModel):
    """One directed two-qubit gate.

    Attributes:
        error: factor on its reported error.
        terms: angles (rad) of the errors exp(-i theta P / 2) that follow it, P on control and
            target.
        stark: of the RZ on spectators, by physical qubit.
        drift: standard deviations of the angles from job to job, given with the device's own
            direction, the shorter; the other direction follows.
    """

    error: Factor = 1.0
    terms: dict[Term, float] = {}
    stark: dict[int, float] = {}
    drift: dict[NativeTerm, Deviation] = {}


class Spread(ConfigModel):
    """Distributions of the constants of qubits and gates that are not listed.

    Attributes:
        t1, t2, error, flip_up, flip_down, gate_error: mean and standard deviation of the logarithm
            of the factor on the calibration's value.
        rx, rz, stark: standard deviations, rad.
        terms: of the errors after the device's own direction of a two-qubit gate, the shorter.
        drift: of these from job to job.
    """

    t1: tuple[float, float] = (0.0, 0.0)
    t2: tuple[float, float] = (0.0, 0.0)
    error: tuple[float, float] = (0.0, 0.0)
    flip_up: tuple[float, float] = (0.0, 0.0)
    flip_down: tuple[float, float] = (0.0, 0.0)
    gate_error: tuple[float, float] = (0.0, 0.0)
    rx: float = Field(0.0, ge=0)
    rz: float = Field(0.0, ge=0)
    stark: float = Field(0.0, ge=0)
    terms: dict[NativeTerm, Deviation] = {}
    drift: dict[NativeTerm, Deviation] = {}
