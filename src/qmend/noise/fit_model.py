"""The model whose constants are fitted: the surrogate's physics, its constants and their priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from qmend.devices.calibration import Calibration
from qmend.noise.config import FittedConfig, SurrogateConfig
from qmend.noise.constants_config import REVERSED, TERMS, GateConstants, QubitConstants, Spread
from qmend.noise.device_noise import DeviceNoise, NoiseParameters
from qmend.noise.fitted_constants import reversed_terms
from qmend.noise.measurements import Measurements
from qmend.noise.surrogate import ChannelPlan, Constants, SurrogateNoise
from qmend.simulation import differentiable
from qmend.simulation.fusion import Fusion
from qmend.types import FloatArray

#: Errors after the device's own direction of a two-qubit gate.
NATIVE_TERMS = tuple(REVERSED)
#: Those that shift from job to job: phases of control and target.
SHIFTED = ("ZI", "IZ")
#: Prior standard deviations: angles in rad, of factors the logarithm's. ZZ, ZX, stark and rx are
#: those of ``conf/dataset/noise/surrogate_hardware.yaml``.
PRIOR: dict[str, float] = {
    "gate_error": 0.5,
    "error": 0.5,
    "t1": 0.3,
    "t2": 0.4,
    "ZZ": 0.05,
    "ZX": 0.04,
    "IX": 0.03,
    "IY": 0.03,
    "IZ": 0.03,
    "ZI": 0.03,
    "ZY": 0.03,
    "stark": 0.03,
    "sx": 0.012,
    "x": 0.012,
    "rz": 0.01,
    "flip_up": 0.7,
    "flip_down": 0.7,
}


@dataclass(frozen=True)
class _Prepared:
    """Circuits made ready for many evaluations."""

    plan: ChannelPlan
    fusion: Fusion
    measured: Tensor


class NoiseModel:
    """The surrogate's physics on a chain as a function of its constants, in torch.

    Coherent errors belong to the device's own direction of a two-qubit gate (the shorter) and
    appear in the other direction as :data:`~qmend.noise.constants_config.REVERSED` says.

    Attributes:
        shapes: of each constant.
        native: (E, 2) control and target of each two-qubit gate in the device's own direction.
    """

    def __init__(self, calibration: Calibration, layout: Sequence[int]) -> None:
        self.calibration, self.layout = calibration, tuple(layout)
        switches = SurrogateConfig(name="surrogate_hardware", drift=0.0)
        self._noise = SurrogateNoise(calibration, layout, switches)
        self.snapshot = replace(
            self._noise.gates.parameters,
            t2=torch.minimum(self._noise.gates.parameters.t2, 2 * self._noise.gates.parameters.t1),
        )
        edges, n = self._noise.edges, len(layout)
        pairs = [(int(a), int(b)) for a, b in edges]
        native = self.snapshot.native_pairs
        self.native = np.array(native, dtype=np.int64).reshape(-1, 2)
        self._edge = torch.tensor([native.index(p if p in native else p[::-1]) for p in pairs])
        forward = torch.tensor([p in native for p in pairs])
        # Where an error of a native gate appears among the terms of each directed gate.
        self._appears = torch.zeros(len(TERMS), len(NATIVE_TERMS), len(pairs), dtype=torch.float64)
        for k, term in enumerate(NATIVE_TERMS):
            other, sign = REVERSED[term]
            self._appears[TERMS.index(term), k] += forward.double()
            self._appears[TERMS.index(other), k] += sign * (~forward).double()
        per_gate, per_qubit = (len(native),), (n,)
        self.shapes: dict[str, tuple[int, ...]] = {
            name: per_gate if name in NATIVE_TERMS or name == "gate_error" else per_qubit
            for name in PRIOR
        }
        self.shapes["stark"] = (len(native), n)

    def defaults(self) -> dict[str, Tensor]:
        """Return all constants as zeros: the calibration's own model."""
        return {
            name: torch.zeros(shape, dtype=torch.float64) for name, shape in self.shapes.items()
        }

    def prepare(self, data: Measurements, by_job: bool) -> _Prepared:
        """Plan circuits for many evaluations; ``by_job`` gives each job its own two-qubit gates."""
        plan = self._noise.plan(data.circuits, data.job if by_job else None)
        return _Prepared(plan, Fusion.of(plan.sequence), torch.from_numpy(data.measured))

    def expectations(
        self, prepared: _Prepared, values: dict[str, Tensor], shift: Tensor | None = None
    ) -> Tensor:
        """(N, k) <Z> with readout error.

        Args:
            values: the constants by name: angles, and logarithms of factors.
            shift: (J, len(SHIFTED), E) added to the shifted terms, for circuits grouped by job.
        """
        base = DeviceNoise(self.calibration, self.layout, self._parameters(values))
        one, two = self._noise.channels(prepared.plan, self._constants(values, shift), base)
        n = len(self.layout)
        parities = differentiable.evolve(prepared.fusion.program(one, two))
        single = parities[:, [1 << q for q in range(n)]]
        up, down = self._flips(values)
        return torch.gather((1 - up - down) * single + down - up, 1, prepared.measured)

    def _flips(self, values: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return (
            self.snapshot.flip_up * torch.exp(values["flip_up"]),
            self.snapshot.flip_down * torch.exp(values["flip_down"]),
        )

    def _parameters(self, values: dict[str, Tensor]) -> NoiseParameters:
        parameters = self.snapshot
        first = torch.from_numpy(parameters.first)
        is_two = torch.from_numpy(parameters.second >= 0)
        codes = torch.zeros(len(parameters.first), dtype=torch.long)
        codes[is_two] = self._edge
        logarithm = torch.where(is_two, values["gate_error"][codes], values["error"][first])
        return replace(
            parameters,
            t1=parameters.t1 * torch.exp(values["t1"]),
            t2=parameters.t2 * torch.exp(values["t2"]),
            error=parameters.error * torch.exp(logarithm),
        )

    def _constants(self, values: dict[str, Tensor], shift: Tensor | None) -> Constants:
        native = torch.stack([values[term] for term in NATIVE_TERMS])  # (terms, E)
        if shift is not None:
            moved = torch.zeros(len(shift), *native.shape, dtype=torch.float64)
            rows = torch.tensor([NATIVE_TERMS.index(term) for term in SHIFTED])
            native = native + moved.index_copy(1, rows, shift)
        terms = torch.einsum("tkp,...kp->...tp", self._appears, native[..., self._edge])
        used = {term: terms[..., k, :] for k, term in enumerate(TERMS)}
        n = len(self.layout)
        return Constants(
            zz=used.pop("ZZ"),
            zx=used.pop("ZX"),
            stark=values["stark"][self._edge],
            rx=torch.stack([values["sx"], values["x"]]),
            idle_zz=torch.zeros(n, n, dtype=torch.float64),
            terms=used,
            rz=values["rz"],
        )

    def config(
        self, values: dict[str, FloatArray], drift: FloatArray, device_seed: int = 0
    ) -> FittedConfig:
        """Write the constants as a noise config, for qubits and gates of the chain.

        Args:
            drift: (len(SHIFTED), E) standard deviations of the shifts from job to job.
        """
        up, down = self._flips({k: torch.from_numpy(v) for k, v in values.items()})
        qubits = {
            physical: QubitConstants(
                t1=_round(np.exp(values["t1"][k])),
                t2=_round(np.exp(values["t2"][k])),
                error=_round(np.exp(values["error"][k])),
                sx=_round(values["sx"][k]),
                x=_round(values["x"][k]),
                rz=_round(values["rz"][k]),
                flip_up=_round(min(float(up[k]), 0.5)),
                flip_down=_round(min(float(down[k]), 0.5)),
            )
            for k, physical in enumerate(self.layout)
        }
        gates = {}
        for edge, (a, b) in enumerate(self.native):
            own = {term: _round(values[term][edge]) for term in NATIVE_TERMS}
            stark = {
                physical: _round(values["stark"][edge, k])
                for k, physical in enumerate(self.layout)
                if k not in (a, b)
            }
            error = _round(np.exp(values["gate_error"][edge]))
            moving = {term: _round(drift[k, edge]) for k, term in enumerate(SHIFTED)}
            name = (self.layout[a], self.layout[b])
            gates[f"{name[0]}-{name[1]}"] = GateConstants(
                error=error, terms=own, stark=stark, drift=moving
            )
            if self._noise.gates.two_row[:, b, a].max() >= 0:
                gates[f"{name[1]}-{name[0]}"] = GateConstants(
                    error=error, terms=reversed_terms(own), stark=stark
                )
        return FittedConfig(
            name="surrogate_fitted",
            device_seed=device_seed,
            qubits=qubits,
            gates=gates,
            spread=self._spread(values, drift),
        )

    def _spread(self, values: dict[str, FloatArray], drift: FloatArray) -> Spread:
        factors = {
            name: (_round(values[name].mean()), _round(values[name].std()))
            for name in ("t1", "t2", "error", "gate_error", "flip_up", "flip_down")
        }
        spectators = np.ones(values["stark"].shape, dtype=bool)
        np.put_along_axis(spectators, self.native, False, axis=1)
        return Spread(
            **factors,
            rx=_rms(np.concatenate([values["sx"], values["x"]])),
            rz=_rms(values["rz"]),
            stark=_rms(values["stark"][spectators]),
            terms={term: _rms(values[term]) for term in NATIVE_TERMS},
            drift={term: _rms(drift[k]) for k, term in enumerate(SHIFTED)},
        )


def _round(value: float) -> float:
    """Six significant digits: more says nothing and fills a config."""
    return float(f"{float(value):.6g}")


def _rms(values: FloatArray) -> float:
    return _round(float(np.sqrt((values**2).mean())))
