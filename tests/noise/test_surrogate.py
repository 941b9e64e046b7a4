"""Surrogate hardware against circuits that carry every added error as an explicit instruction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit.library import CXGate
from qiskit_aer import AerSimulator
from qiskit_aer.noise import reset_error, thermal_relaxation_error

from qmend.circuits.families import build_family
from qmend.circuits.gadgets import GadgetCompiler
from qmend.circuits.instructions import InstructionTable
from qmend.devices.device import DeviceConfig, load_device
from qmend.noise.aer import device_noise_model
from qmend.noise.config import SurrogateConfig
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.surrogate import SurrogateNoise
from qmend.simulation import differentiable
from qmend.simulation.channels import pauli_matrices, rotation, tensor, unitary_channel
from qmend.simulation.outputs import probabilities

OFF = {
    "name": "surrogate_hardware",
    "idle_relaxation": 0,
    "zz": 0,
    "zx": 0,
    "stark": 0,
    "rx": 0,
    "idle_zz": 0,
    "leakage": 0,
}
PARTS = {
    "idle_relaxation": 1.0,
    "zz": 0.2,
    "zx": 0.2,
    "stark": 0.2,
    "rx": 0.1,
    "idle_zz": 0.5,
    "leakage": 0.02,
}


@pytest.fixture(scope="module")
def table(algiers) -> InstructionTable:
    compile_one = GadgetCompiler(5, algiers.native_gates, algiers.edges)
    family = build_family({"name": "pauli", "n_qubits": 5})
    drawn = [family.draw(np.random.default_rng(k)) for k in range(12)]
    by_hand = [("sx", 0, -1, 0.0), ("cx", 0, 1, 0.0), ("x", 4, -1, 0.0), ("cx", 3, 2, 0.0)]
    return InstructionTable.from_circuits(5, [*(compile_one(c.gadgets) for c in drawn), by_hand])


def explicit(gates, device, constants, config) -> QuantumCircuit:
    """The circuit with its added errors written out, scheduled here by another program."""
    calibration, layout = device.calibration, device.layout
    qubits = [calibration.qubit(q) for q in layout]

    def length(name, *positions) -> float:
        return calibration.gate(name, [layout[p] for p in positions]).length_ns / 1e3

    moments: list[list] = []
    pending: list[list] = [[] for _ in range(5)]  # RZs that wait for their qubit's next gate
    level = [0] * 5
    for gate in gates:
        name, a, b, _ = gate
        if name == "rz":
            pending[a].append(gate)
            continue
        touched = [a] if b < 0 else [a, b]
        at = max(level[q] for q in touched)
        while len(moments) <= at:
            moments.append([])
        before = [g for q in touched for g in pending[q]]
        for q in touched:
            pending[q] = []
            level[q] = at + 1
        moments[at].append((before, gate))
    circuit = QuantumCircuit(5)
    edges = {tuple(e): k for k, e in enumerate(SurrogateNoise(calibration, layout, config).edges)}
    strength = config.strength
    for moment in moments:
        lasts = max(length(name, *([a] if b < 0 else [a, b])) for _, (name, a, b, _) in moment)
        used = {}
        for before, (name, a, b, _) in moment:
            for _, q, _, angle in before:
                circuit.rz(angle, q)
            if b < 0:
                getattr(circuit, name)(a)
                if name in ("sx", "x"):
                    circuit.rx(constants.rx[("sx", "x").index(name)][a], a)
                used[a] = length(name, a)
            else:
                circuit.cx(a, b)
                k = edges[a, b]
                circuit.rzz(constants.zz[k], a, b)
                circuit.rzx(constants.zx[k], a, b)
                if config.leakage:
                    for q in (a, b):
                        circuit.append(reset_error(0, config.leakage * strength), [q])
                used[a] = used[b] = length(name, a, b)
        for _, (_, a, b, _) in moment:
            if b >= 0:
                for q in set(range(5)) - {a, b}:
                    circuit.rz(constants.stark[edges[a, b]][q], q)
        for q in range(5):
            wait = (lasts - used.get(q, 0.0)) * config.idle_relaxation * strength
            if wait > 0:
                t1 = qubits[q].t1_us
                t2 = min(qubits[q].t2_us, 2 * t1)
                circuit.append(thermal_relaxation_error(t1, t2, wait), [q])
        for a in range(4):
            if a not in used and a + 1 not in used:
                circuit.rzz(constants.idle_zz[a, a + 1] * lasts, a, a + 1)
    return circuit


@pytest.mark.parametrize("part", [*PARTS, "all"])
def test_each_part_equals_explicit_instructions(algiers, table, part):
    config = SurrogateConfig(**{**OFF, **(PARTS if part == "all" else {part: PARTS[part]})})
    noise = SurrogateNoise(algiers.calibration, algiers.layout, config)
    constants = noise.constants(3)
    model = device_noise_model(algiers.calibration, algiers.layout)
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    prepared = [explicit(table.circuit(i), algiers, constants, config) for i in range(len(table))]
    for circuit in prepared:
        circuit.save_probabilities()
    result = simulator.run(prepared).result()
    assert result.success, result.status
    expected = np.array([result.data(i)["probabilities"] for i in range(len(prepared))])
    found = probabilities(noise.program(table, 3))
    assert np.abs(found - expected).max() < 1e-9
    # The part does something: the plain device model differs.
    plain = probabilities(DeviceNoise(algiers.calibration, algiers.layout).program(table))
    assert np.abs(found - plain).max() > 1e-4


@pytest.mark.parametrize("settings", [{**OFF}, {"name": "surrogate_hardware", "strength": 0}])
def test_nothing_switched_on_is_the_device_model(algiers, table, settings):
    noise = SurrogateNoise(algiers.calibration, algiers.layout, SurrogateConfig(**settings))
    plain = DeviceNoise(algiers.calibration, algiers.layout)
    np.testing.assert_allclose(
        probabilities(noise.program(table, 0)), probabilities(plain.program(table)), atol=1e-13
    )


def test_constants_come_from_the_seed_and_drift_by_job(algiers):
    def constants(seed: int, job: int, **more):
        config = SurrogateConfig(name="surrogate_hardware", device_seed=seed, **more)
        return SurrogateNoise(algiers.calibration, algiers.layout, config).constants(job)

    np.testing.assert_array_equal(constants(1, 4).zz, constants(1, 4).zz)
    assert not np.array_equal(constants(1, 4).zz, constants(1, 5).zz)
    assert not np.array_equal(constants(1, 4).zz, constants(2, 4).zz)
    np.testing.assert_array_equal(constants(1, 4, drift=0).zz, constants(1, 5, drift=0).zz)
    np.testing.assert_allclose(constants(1, 4, strength=2).stark, 2 * constants(1, 4).stark)
    jobs = np.array([constants(1, job).zz for job in range(400)])
    base = constants(1, 0, drift=0).zz
    np.testing.assert_allclose(jobs.mean(axis=0), base, atol=4 * 0.3 * np.abs(base).max() / 20)
    np.testing.assert_allclose((jobs / base).std(axis=0), 0.3, rtol=0.2)


def test_strength_makes_it_worse(algiers, table):
    """The unmitigated error grows with strength."""
    from qmend.circuits.statevector import compiled_probabilities

    ideal = compiled_probabilities(table)
    errors = []
    for strength in (0, 0.5, 1, 2):
        config = SurrogateConfig(name="surrogate_hardware", strength=strength)
        noise = SurrogateNoise(algiers.calibration, algiers.layout, config)
        exact = probabilities(noise.program(table, 0))
        errors.append(float(np.abs(exact - ideal).sum(axis=1).mean()))
    assert errors == sorted(errors)
    assert errors[-1] > errors[0] + 0.2


def test_other_native_gates():
    """An ECR device: constants for its directed edges, distributions still normalised."""
    device = load_device(DeviceConfig(name="b", backend="FakeBrisbane", layout=(4, 3, 2, 1, 0)))
    config = SurrogateConfig(name="surrogate_hardware")
    noise = SurrogateNoise(device.calibration, device.layout, config)
    assert len(noise.edges) == 4
    a, b = noise.edges[0]
    table = InstructionTable.from_circuits(
        5, [[("sx", int(a), -1, 0.0), ("ecr", int(a), int(b), 0.0), ("x", 4, -1, 0.0)]]
    )
    exact = probabilities(noise.program(table, 0))
    assert exact.sum() == pytest.approx(1.0)
    assert exact.min() > -1e-12


@pytest.mark.parametrize("name", ["zz", "zx", "stark", "rx", "idle_zz"])
def test_gradients_by_the_constants_equal_finite_differences(algiers, table, name):
    """What fitting a noise model to data needs."""
    config = SurrogateConfig(**{**OFF, **PARTS})
    noise = SurrogateNoise(algiers.calibration, algiers.layout, config)
    drawn = noise.constants(0)
    few = table.select(np.arange(3))

    def value(angles: torch.Tensor) -> torch.Tensor:
        program = noise.program_with(few, replace(drawn, **{name: angles}))
        return differentiable.evolve(program)[:, [3, 9, 31]].sum()

    angles = torch.from_numpy(getattr(drawn, name).copy()).requires_grad_()
    value(angles).backward()
    gradient = angles.grad.reshape(-1)
    for k in torch.argsort(-gradient.abs())[:3]:
        step = torch.zeros_like(gradient)
        step[k] = 1e-6
        step = step.reshape(angles.shape)
        slope = float(value(angles.detach() + step) - value(angles.detach() - step)) / 2e-6
        assert abs(slope) > 1e-6
        assert float(gradient[k]) == pytest.approx(slope, rel=1e-4)


def test_twirled_two_qubit_layers_are_the_mean_over_all_pauli_frames(table, algiers):
    """Random Paulis before each gate, those they become behind it, and every spectator's own."""
    plain = SurrogateConfig(**{**OFF, **PARTS, "leakage": 0.0, "idle_zz": 0.0, "drift": 0.0})
    twirled = plain.model_copy(update={"name": "surrogate_twirled"})
    one = SurrogateNoise(algiers.calibration, algiers.layout, plain)
    other = SurrogateNoise(algiers.calibration, algiers.layout, twirled)
    plan = one.plan(table)
    ones, twos = one.channels(plan, one.constants(0))
    twirled_ones, twirled_twos = other.channels(plan, other.constants(0))
    paulis = [unitary_channel(p) for p in pauli_matrices(1)]
    pairs = [tensor(a, b) for a in paulis for b in paulis]
    ideal = unitary_channel(CXGate().to_matrix())
    framed = torch.stack([ideal @ p @ ideal.T @ twos @ p for p in pairs]).mean(0)
    torch.testing.assert_close(twirled_twos, framed, atol=1e-12, rtol=0)
    assert (twirled_twos - twos).abs().max() > 0.05
    # Of the one-qubit channels only the phases of spectators change.
    changed = (twirled_ones - ones).abs().amax((1, 2)) > 1e-12
    phases = rotation("Z", torch.as_tensor(one.constants(0).stark).reshape(-1))
    start = len(ones) - len(plan.idle_qubit) - len(phases)
    assert changed.nonzero().min() >= start
    assert changed.nonzero().max() < start + len(phases)
    framed = torch.stack([p @ phases @ p for p in paulis]).mean(0)
    torch.testing.assert_close(twirled_ones[start : start + len(phases)], framed)
    distribution = probabilities(other.program(table, 0))
    np.testing.assert_allclose(distribution.sum(axis=1), 1.0, atol=1e-12)
    assert np.abs(distribution - probabilities(one.program(table, 0))).max() > 0.01
