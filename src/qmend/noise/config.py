"""Fields of ``conf/dataset/noise``: which noise a simulated dataset has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, TypeAdapter, model_validator

from qmend.config.model import ConfigModel
from qmend.noise.constants_config import Factor, GateConstants, QubitConstants, Spread
from qmend.portable import exp, log
from qmend.types import QmendError

if TYPE_CHECKING:  # the models load torch, Aer and numba
    from qmend.devices.calibration import Calibration
    from qmend.noise.aer import AerExecutor
    from qmend.noise.base import Executor, Noise

#: Description of a noise that has none of its own.
OTHER_NOISE = "Simulated noise is a model, and shows what the model holds alone."


class NoiseConfig(ConfigModel, ABC):
    """A kind of noise: builds its model, draws it for other devices, describes itself."""

    name: str
    #: Where its constants come from: the calibration alone, a seed, or a fit to measurements.
    #: ``draw``: from stated ranges, anew in each job.
    constants: ClassVar[Literal["calibration", "seed", "fit", "draw"]]

    @abstractmethod
    def build(self, calibration: Calibration, layout: Sequence[int]) -> Noise:
        """Build the model on a chain of physical qubits.

        Raises:
            QmendError: if a calibration value is missing.
        """

    def build_aer(self, calibration: Calibration, layout: Sequence[int]) -> AerExecutor | None:
        """Build the same noise in Qiskit Aer; None where Aer's device model lacks it."""
        return None

    def executor(self, name: str, calibration: Calibration, layout: Sequence[int]) -> Executor:
        """Build an executor: ``ptm``, the batched simulator, or ``aer``.

        Raises:
            QmendError: if Aer is asked for a noise that it lacks.
        """
        if name == "ptm":
            return self.build(calibration, layout)
        executor = self.build_aer(calibration, layout)
        if executor is None:
            raise QmendError(
                f"dataset.simulator=aer simulates only dataset.noise.name=aer, not {self.name}; "
                "use dataset.simulator=ptm."
            )
        return executor

    def of_device(self, number: int) -> NoiseConfig:
        """Draw the noise of one of many devices; undrawn noise is the same for all."""
        return self

    @property
    def hides_gates(self) -> bool:
        """Say whether other gates run than a circuit shows."""
        return False

    def same_constants(self, other: NoiseConfig) -> bool:
        """Compare two noises but for the seed of drawn constants."""
        seed = {"device_seed"}
        return self.model_dump(exclude=seed) == other.model_dump(exclude=seed)

    @property
    def description(self) -> str:
        """Text on its content and limits, for a dataset's card."""
        return OTHER_NOISE


class AerNoiseConfig(NoiseConfig):
    """``conf/dataset/noise/aer.yaml``: Qiskit Aer's device model, from the calibration alone."""

    constants = "calibration"
    name: Literal["aer"] = "aer"

    def build(self, calibration: Calibration, layout: Sequence[int]) -> Noise:
        from qmend.noise.device_noise import DeviceNoise

        return DeviceNoise(calibration, layout)

    def build_aer(self, calibration: Calibration, layout: Sequence[int]) -> AerExecutor:
        from qmend.noise.aer import AerExecutor

        return AerExecutor(calibration, layout)

    @property
    def description(self) -> str:
        return (
            "Simulated noise is a model. This one is Qiskit Aer's device model: thermal "
            "relaxation and depolarizing errors from the calibration alone. It has no crosstalk, "
            "no coherent errors, no idle errors, no leakage and no drift within a snapshot; it is "
            "close to one global depolarizing channel, which a few fitted numbers undo."
        )


class SurrogateConfig(NoiseConfig):
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
        asymmetric_readout: whether P(1|0) and P(0|1) of the calibration differ, in place of their
            mean for both.
        hidden_gates: greatest share of two-qubit gates that run three times in place of once; each
            circuit has its own, uniform from 0.
    """

    constants = "seed"
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
    asymmetric_readout: bool = False
    hidden_gates: float = Field(0.0, ge=0, le=1)

    def build(self, calibration: Calibration, layout: Sequence[int]) -> Noise:
        from qmend.noise.surrogate import SurrogateNoise

        return SurrogateNoise(calibration, layout, self)

    def of_device(self, number: int) -> Self:
        """Draw the coherent errors of another device."""
        return self.model_copy(update={"device_seed": self.device_seed + number})

    @property
    def hides_gates(self) -> bool:
        return self.hidden_gates > 0

    @property
    def description(self) -> str:
        if self.name == "surrogate_twirled":
            return (
                "Simulated noise is a model. This one is surrogate hardware measured by "
                "randomized compiling in the limit of many randomizations: coherent errors of "
                "two-qubit layers become random Pauli errors, those of one-qubit gates stay. Its "
                "strengths are chosen, not measured."
            )
        return (
            "Simulated noise is a model. This one is surrogate hardware: Aer's device model with "
            "idle relaxation, coherent ZZ and ZX errors, Stark phases, over-rotations and drift "
            "from job to job, whose strengths are chosen, not measured. It resembles hardware in "
            "kind, not in detail."
        )


class RandomizedNoise(NoiseConfig):
    """Surrogate hardware with constants of its own in each job: domain randomization.

    The sizes of its parts are those of ``conf/dataset/noise/surrogate_hardware.yaml``; a dataset's
    own config is not read. Only the strength, which scales them all, is drawn.

    Attributes:
        strength: lowest and highest, drawn uniformly.
        seed: of all devices.
    """

    constants = "draw"
    name: Literal["randomized"] = "randomized"
    strength: tuple[float, float]
    seed: int

    def build(self, calibration: Calibration, layout: Sequence[int]) -> Noise:
        return self.of_device(0).build(calibration, layout)

    def of_device(self, number: int) -> SurrogateConfig:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
        return SurrogateConfig(
            name="surrogate_hardware",
            device_seed=int(rng.integers(2**63)),
            strength=float(rng.uniform(*self.strength)),
        )


class WorldsConfig(NoiseConfig):
    """``conf/dataset/noise/worlds.yaml``: surrogate hardware drawn anew in each job.

    Domain randomization. The sizes of coherent errors are those of
    ``conf/dataset/noise/surrogate_hardware.yaml`` times a strength.

    Attributes:
        strength: of coherent errors, uniform.
        coherent_share: of the jobs that have coherent errors.
        idle_relaxation: factor on the time for which idle qubits relax, log-uniform.
        leakage: greatest probability of leakage, uniform from 0.
        asymmetric_readout: see :class:`SurrogateConfig`.
        hidden_share: of the jobs whose circuits do not show the gates that run.
        hidden_gates: in these, see :class:`SurrogateConfig`.
        seed: of all jobs.
    """

    preset_at = ("generate dataset/noise=worlds", "dataset.noise")
    constants = "draw"
    name: Literal["worlds"]
    strength: tuple[float, float]
    coherent_share: float = Field(ge=0, le=1)
    idle_relaxation: tuple[Factor, Factor]
    leakage: float = Field(ge=0, le=1)
    asymmetric_readout: bool
    hidden_share: float = Field(ge=0, le=1)
    hidden_gates: float = Field(ge=0, le=1)
    seed: int = Field(ge=0)

    def build(self, calibration: Calibration, layout: Sequence[int]) -> Noise:
        return self.of_device(0).build(calibration, layout)

    def of_device(self, number: int) -> SurrogateConfig:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
        coherent, hidden = rng.random(2) < (self.coherent_share, self.hidden_share)
        strength = float(rng.uniform(*self.strength)) if coherent else 0.0
        least, most = self.idle_relaxation
        usual = SurrogateConfig(name="surrogate_hardware")
        return SurrogateConfig(
            name="surrogate_hardware",
            device_seed=int(rng.integers(2**63)),
            idle_relaxation=least * float(exp(rng.random() * log(most / least))),
            zz=usual.zz * strength,
            zx=usual.zx * strength,
            stark=usual.stark * strength,
            rx=usual.rx * strength,
            leakage=float(rng.uniform(0, self.leakage)),
            asymmetric_readout=self.asymmetric_readout,
            hidden_gates=self.hidden_gates if hidden else 0.0,
        )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("strength", "idle_relaxation"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be [low, high] with 0 <= low <= high")
        return self

    @property
    def description(self) -> str:
        return (
            "Simulated noise is a model. This one is surrogate hardware with other constants in "
            "each job, drawn from wide ranges: relaxation, depolarizing errors, readout, coherent "
            "errors, loss, and in a part of the jobs two-qubit gates that run and are not shown. "
            "It resembles hardware in kind, not in detail."
        )


class FittedConfig(NoiseConfig):
    """``conf/dataset/noise/surrogate_algiers.yaml``.

    Attributes:
        device_seed: of what is drawn: constants of qubits and gates not listed, and drift.
        idle_relaxation: factor on the time for which idle qubits relax.
        qubits: by physical number.
        gates: by control and target, such as ``"2-1"``.
        spread: for qubits and gates not listed.
    """

    constants = "fit"
    name: Literal["surrogate_fitted"]
    device_seed: int = Field(0, ge=0)
    idle_relaxation: float = Field(1.0, ge=0)
    qubits: dict[int, QubitConstants] = {}
    gates: dict[Annotated[str, Field(pattern=r"^\d+-\d+$")], GateConstants] = {}
    spread: Spread = Spread()

    def __hash__(self) -> int:
        # Pydantic's own would hash the mappings, which have no hash.
        return hash(self.model_dump_json())

    def build(self, calibration: Calibration, layout: Sequence[int]) -> Noise:
        from qmend.noise.fitted import FittedNoise

        return FittedNoise(calibration, layout, self)


#: Type of a config field that holds any noise of a dataset; ``name`` says which.
AnyNoise = Annotated[
    AerNoiseConfig | SurrogateConfig | FittedConfig | WorldsConfig, Field(discriminator="name")
]


def read_noise(values: Any) -> NoiseConfig:
    """Validate a noise config.

    Raises:
        pydantic.ValidationError: if the name or a field is unknown, or a value is bad.
    """
    return TypeAdapter[NoiseConfig](AnyNoise).validate_python(values)
