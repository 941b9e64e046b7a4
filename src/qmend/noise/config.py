"""Fields of ``conf/dataset/noise``: which noise a simulated dataset has."""

from __future__ import annotations

from typing import Annotated, Literal

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


class AerNoiseConfig(ConfigModel):
    """``conf/dataset/noise/aer.yaml``: Qiskit Aer's device model, from the calibration alone."""

    name: Literal["aer"] = "aer"


class SurrogateConfig(ConfigModel):
    """``conf/dataset/noise/surrogate_hardware.yaml``; a value of 0 switches its part off.

    Attributes:
        name: ``surrogate_twirled``: measured by randomized compiling (arXiv 1512.01098) in the
            limit of many randomizations: in each layer of two-qubit gates random Paulis enclose
            every qubit's gate, so that errors there become Pauli channels. Errors after SX and X
            and of waiting qubits stay as they are.
        strength: scales all parts; 0 is Aer's device model.
        device_seed: of the device's constants.
        idle_relaxation: factor on the time for which idle qubits relax.
        zz, zx: standard deviations (rad) of the coherent errors exp(-i theta P / 2) after each
            directed two-qubit gate; ZX has Z on the control.
        stark: of the RZ on each spectator of a two-qubit gate.
        rx: of the RX after SX and X.
        idle_zz: of the ZZ between neighbours that are both idle, per us.
        leakage: probability with which a two-qubit gate loses a qubit to a state that reads 1.
        drift: relative standard deviation of every coherent error from job to job.
    """

    name: Literal["surrogate_hardware", "surrogate_twirled"]
    strength: float = Field(1.0, ge=0)
    device_seed: int = Field(0, ge=0)
    idle_relaxation: float = Field(1.0, ge=0)
    zz: float = Field(0.05, ge=0)
    zx: float = Field(0.04, ge=0)
    stark: float = Field(0.03, ge=0)
    rx: float = Field(0.012, ge=0)
    idle_zz: float = Field(0.0, ge=0)
    leakage: float = Field(0.0, ge=0, le=1)
    drift: float = Field(0.3, ge=0)


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
    """What qubits and gates without constants of their own are drawn from.

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


class FittedConfig(ConfigModel):
    """``conf/dataset/noise/surrogate_algiers.yaml``.

    Attributes:
        device_seed: of whatever is drawn: constants of qubits and gates not listed, and drift.
        idle_relaxation: factor on the time for which idle qubits relax.
        qubits: by physical number.
        gates: by control and target, such as ``"2-1"``.
        spread: for qubits and gates not listed.
    """

    name: Literal["surrogate_fitted"]
    device_seed: int = Field(0, ge=0)
    idle_relaxation: float = Field(1.0, ge=0)
    qubits: dict[int, QubitConstants] = {}
    gates: dict[Annotated[str, Field(pattern=r"^\d+-\d+$")], GateConstants] = {}
    spread: Spread = Spread()

    def __hash__(self) -> int:
        # Pydantic's own would hash the mappings, which have no hash.
        return hash(self.model_dump_json())


AnyNoise = AerNoiseConfig | SurrogateConfig | FittedConfig
NoiseConfig = Annotated[AnyNoise, Field(discriminator="name")]
