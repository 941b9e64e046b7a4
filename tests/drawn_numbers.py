"""Numbers that decide a dataset's bytes before any circuit is compiled, as hashes of their bits.

Run as a script, it prints them as JSON: another process may have another processor, or pretend to.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from qmend.circuits.clifford import clifford_probabilities, random_clifford_layers
from qmend.circuits.families.qaoa import QAOAFamily
from qmend.circuits.families.trotter import TrotterFamily
from qmend.circuits.families.vqe import VQEFamily
from qmend.circuits.hamiltonians import product_formula
from qmend.circuits.molecules import hydrogen, two_electrons
from qmend.devices.calibration import Calibration, GateCalibration, QubitCalibration
from qmend.devices.drift import DriftConfig
from qmend.devices.randomized import RandomizedConfig
from qmend.noise.config import FittedConfig
from qmend.noise.fitted_constants import gate_constants, qubit_constants

Numbers = list[float]

BASE = Calibration(
    device="line",
    time=datetime(2024, 5, 1, tzinfo=UTC),
    qubits=tuple(
        QubitCalibration(
            qubit=q, t1_us=90.0 + 17 * q, t2_us=110.0 - 13 * q, frequency_ghz=4.9 + 0.07 * q,
            readout_error=(0.011 + 0.017 + 0.002 * q) / 2, prob_meas0_prep1=0.017 + 0.001 * q,
            prob_meas1_prep0=0.011 + 0.001 * q, readout_length_ns=910.0,
        )
        for q in range(3)
    ),
    gates=tuple(
        [GateCalibration(gate=gate, qubits=(q,), error=2.7e-4 + 1e-5 * q, length_ns=35.6)
         for q in range(3) for gate in ("sx", "measure")]
        + [GateCalibration(gate="cx", qubits=pair, error=7.3e-3, length_ns=300.0 + 35.6 * k)
           for k, pair in enumerate(((0, 1), (1, 0), (1, 2), (2, 1)))]
    ),
)  # fmt: skip


def vqe(hamiltonian: str, ansatz: str) -> Numbers:
    """Parameters of 20 draws after the optimisation, unrounded, and their energies."""
    family = VQEFamily(name="vqe", hamiltonian=hamiltonian, ansatz=ansatz)
    numbers: Numbers = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn, _ = family.draw_hamiltonian(rng)
        circuit = family.draw_ansatz(rng, drawn)
        start = family.draw_start(rng, circuit)
        parameters = circuit.optimise(start, drawn, 12)
        numbers += [*parameters.tolist(), circuit.energy(parameters, drawn)]
    return numbers


def molecules() -> Numbers:
    """Terms and Hartree-Fock energy of H2 at ten bond lengths, and of HeH+."""
    made = [hydrogen(bond) for bond in np.linspace(0.2, 5.0, 10).tolist()]
    made.append(two_electrons(((2.0, 2.0925), (1.0, 1.24)), 0.774))
    return [w for m in made for w in (*(w for _, w in m.hamiltonian.terms), m.hartree_fock)]


def qaoa() -> Numbers:
    """Near-optimal angles of 1 to 4 layers on graphs of several mean degrees."""
    family = QAOAFamily(name="qaoa", angles="fixed")
    drawn = [
        family.draw_angles(np.random.default_rng(seed), 1 + seed % 4, 1 + seed / 7)
        for seed in range(20)
    ]
    return [float(angle) for both in drawn for angles in both for angle in angles]


def trotter() -> Numbers:
    """Angles of product states and of a second-order formula."""
    family = TrotterFamily(name="trotter", hamiltonian="heisenberg", initial="product")
    numbers: Numbers = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        hamiltonian, _ = family.draw_hamiltonian(rng)
        gadgets = family.draw_initial(rng) + product_formula(hamiltonian, rng.uniform(1, 3), 3, 2)
        numbers += [angle for _, angle in gadgets]
    return numbers


def near_clifford() -> Numbers:
    """Exact distributions, propagated through rotations."""
    numbers: Numbers = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gates = random_clifford_layers(4, 3, rng)
        for angle in rng.uniform(0, 2 * np.pi, 4).tolist():
            gates.insert(int(rng.integers(len(gates))), ("rz", int(rng.integers(4)), -1, angle))
        numbers += clifford_probabilities(gates, 4).tolist()
    return numbers


def drift() -> Numbers:
    return values(DriftConfig(name="drift", snapshots=12).draw(BASE, 5))


def randomized() -> Numbers:
    return values(RandomizedConfig(name="randomized", devices=12).draw(BASE, 5))


def fitted() -> Numbers:
    """Drawn constants of qubits and gates, without listed ones."""
    spread = {
        "t1": (-0.1, 0.2), "t2": (-0.3, 0.4), "error": (0.1, 0.3), "flip_up": (-0.4, 0.3),
        "flip_down": (0.5, 0.2), "gate_error": (0.2, 0.3), "rx": 0.011, "rz": 0.013,
        "stark": 0.03, "terms": {"ZZ": 0.03, "IY": 0.04, "ZI": 0.02},
    }  # fmt: skip
    config = FittedConfig.model_validate({"name": "surrogate_fitted", "spread": spread})
    numbers: Numbers = []
    for q in range(20):
        qubit = qubit_constants(config, q, 0.013)
        gate = gate_constants(config, (q, q + 1), (q, q + 1), (q, q + 1, q + 2))
        numbers += [v for v in qubit.model_dump().values() if v is not None]
        numbers += [gate.error, *gate.terms.values(), *gate.stark.values()]
    return numbers


def values(calibrations: tuple[Calibration, ...]) -> Numbers:
    items = [item for c in calibrations for item in (*c.qubits, *c.gates)]
    return [v for item in items for v in item.model_dump().values() if isinstance(v, float)]


CASES: dict[str, Callable[[], Numbers]] = {
    **{
        f"vqe {hamiltonian} {ansatz}": lambda h=hamiltonian, a=ansatz: vqe(h, a)
        for hamiltonian in ("ising", "heisenberg", "h2")
        for ansatz in ("hardware_efficient", "ucc")
    },
    "molecules": molecules,
    "qaoa": qaoa,
    "trotter": trotter,
    "near_clifford": near_clifford,
    "drift": drift,
    "randomized": randomized,
    "fitted": fitted,
}


def hashes() -> dict[str, str]:
    """The first 16 hex digits of the SHA-256 of each case's float64 values."""
    return {
        name: hashlib.sha256(np.array(case(), dtype="<f8").tobytes()).hexdigest()[:16]
        for name, case in CASES.items()
    }


if __name__ == "__main__":
    print(json.dumps(hashes()))
