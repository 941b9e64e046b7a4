"""Devices that have never existed: within what real ones have shown, and consistent."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from qiskit_ibm_runtime import fake_provider

from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, read_calibration
from qmend.devices.randomized import (
    _PAIR_SPREAD,
    _QUBIT_SPREAD,
    RandomizedConfig,
    relaxation_error,
)
from qmend.gates import GATE_CODE
from qmend.noise.device_noise import NoiseParameters, gate_error_channels
from qmend.simulation import channels

CHAIN = (0, 1, 2, 3, 5)
DEVICES = 1000


def snapshot(backend: str) -> Calibration:
    return read_calibration(DeviceConfig(name="x", backend=backend, layout=(0,)))


def properties(calibration: Calibration) -> dict[str, list[float]]:
    """Every value of a calibration by the name of its range, faulty ones left out."""
    out: dict[str, list[float]] = {name: [] for name in RandomizedConfig.model_fields}
    for q in calibration.qubits:
        out["t1_us"].append(q.t1_us)
        out["t2_ratio"].append(q.t1_us and q.t2_us and q.t2_us / q.t1_us)
        out["frequency_ghz"].append(q.frequency_ghz)
        out["readout_error"].append(q.readout_error)
        out["readout_length_ns"].append(q.readout_length_ns)
        if q.prob_meas0_prep1 and q.prob_meas1_prep0:
            out["readout_ratio"].append(q.prob_meas0_prep1 / q.prob_meas1_prep0)
    for g in calibration.gates:
        number = {"sx": "one", "u2": "one", "cx": "two", "ecr": "two", "cz": "two"}.get(g.gate)
        if number and g.error is not None and g.error < 0.5:
            out[f"{number}_qubit_error"].append(g.error)
            out[f"{number}_qubit_length_ns"].append(g.length_ns)
    return {name: [v for v in values if v] for name, values in out.items()}


class Properties:
    """A shipped file as ``from_properties`` reads it, without making the backend."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def to_dict(self) -> dict:
        return json.loads(self.path.read_text())


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[np.ndarray]]:
    """The values of each property on each device that Qiskit ships a snapshot of."""
    out: dict[str, list[np.ndarray]] = {}
    folder = Path(fake_provider.__file__).parent / "backends"
    for path in sorted(folder.glob("*/props_*.json")):
        for key, values in properties(Calibration.from_properties(Properties(path))).items():
            if values and not (path.parent.name == "toronto" and "length" in key):
                out.setdefault(key, []).append(np.array(values))
    return out


@pytest.fixture(scope="module")
def drawn() -> tuple[Calibration, ...]:
    config = RandomizedConfig(name="randomized", devices=DEVICES)
    return config.draw(snapshot("FakeAlgiers").restrict(CHAIN), 3)


def test_the_ranges_are_those_of_the_shipped_snapshots(shipped):
    """From the lowest to the highest median of a device, and hardly further."""
    config = RandomizedConfig(name="randomized")
    for name in set(RandomizedConfig.model_fields) - {"name", "devices", "reported"}:
        medians = np.array([np.median(values) for values in shipped[name]])
        assert len(medians) > 40
        low, high = getattr(config, name)
        assert np.mean((medians >= low * 0.999) & (medians <= high)) > 0.97, name
        assert low > 0.9 * medians.min(), name
        assert high < 1.1 * medians.max(), name


def test_the_spreads_are_those_of_the_shipped_snapshots(shipped):
    for name, sigma in (_QUBIT_SPREAD | _PAIR_SPREAD).items():
        spreads = [np.log(values).std() for values in shipped[name]]
        assert np.median(spreads) == pytest.approx(sigma, abs=0.05), name


def test_the_values_cover_real_chains(drawn):
    """ibm_algiers, ibm_hanoi and the best and the worst chain of two more lie well inside."""
    found = [properties(c) for c in drawn]
    ranges = {
        name: np.quantile(np.concatenate([f[name] for f in found]), [0.002, 0.998])
        for name in found[0]
        if found[0][name]
    }
    for backend in ("FakeAlgiers", "FakeHanoiV2", "FakeBelemV2", "FakeSherbrooke"):
        for name, values in properties(snapshot(backend).restrict((0, 1, 2, 3))).items():
            low, high = ranges.get(name, (0, np.inf))
            if name == "t2_ratio":
                values = np.minimum(values, 2.0)  # the bound that devices drawn here keep
            assert all(low <= v <= high for v in values), (backend, name)


def test_levels_are_log_uniform(drawn):
    """What is the same for a whole device shows its level."""
    config = RandomizedConfig(name="randomized")
    for name in ("one_qubit_length_ns", "readout_length_ns"):
        low, high = np.log(getattr(config, name))
        level = np.log([properties(c)[name][0] for c in drawn])
        share = np.sort((level - low) / (high - low))
        uniform = (np.arange(DEVICES) + 0.5) / DEVICES
        assert np.abs(share - uniform).max() < 1.63 / np.sqrt(DEVICES)  # Kolmogorov, 1 %
    sizes = np.log([[np.median(properties(c)[n]) for n in ("t1_us", "t2_ratio")] for c in drawn])
    assert abs(np.corrcoef(sizes.T)[0, 1]) < 0.1


def test_values_are_physical(drawn):
    for made in drawn[:200]:
        for q in made.qubits:
            assert q.t2_us <= 2 * q.t1_us * (1 + 1e-12)
            assert 0 < q.readout_error <= 0.5
            mean = (q.prob_meas0_prep1 + q.prob_meas1_prep0) / 2
            assert q.readout_error == pytest.approx(mean, rel=1e-9)
        for g in made.gates:
            if g.gate == "cx":
                assert g.error == made.gate("cx", g.qubits[::-1]).error
                assert g.error < 1


def test_relaxation_is_the_simulators(drawn):
    """The formula against the average gate fidelity of the simulator's channel."""
    for made in drawn[:30]:
        a, b = made.qubits[:2]
        one, two = (channels.thermal_relaxation(q.t1_us, q.t2_us, 0.4) for q in (a, b))
        fidelity = channels.average_gate_fidelity(one)
        assert relaxation_error([a], 400.0) == pytest.approx(1 - float(fidelity), abs=1e-12)
        fidelity = channels.average_gate_fidelity(channels.tensor(one, two))
        assert relaxation_error([a, b], 400.0) == pytest.approx(1 - float(fidelity), abs=1e-12)


def test_gates_are_as_bad_as_their_calibration_says(drawn):
    """No gate is reported better than relaxation allows, so the simulated error is the
    reported one (Aer's model falls back on relaxation alone where it is not)."""
    for made in drawn[:60]:
        values = NoiseParameters.of(made, CHAIN)
        for name in ("sx", "cx"):
            gates = np.flatnonzero(values.gate == GATE_CODE[name])
            fidelity = channels.average_gate_fidelity(gate_error_channels(values, gates))
            np.testing.assert_allclose(1 - fidelity, values.error[gates], rtol=1e-6)


def test_devices_differ_and_are_named(drawn):
    assert drawn[7].device == "ibm_algiers_7"
    assert (drawn[7].time - drawn[0].time).total_seconds() == 7 * 3600
    assert len({c.qubits[0].t1_us for c in drawn}) == DEVICES
    assert len({q.t1_us for q in drawn[0].qubits}) == 5


def test_directions_keep_the_ratio_of_their_lengths(drawn):
    base = snapshot("FakeAlgiers")
    ratio = base.gate("cx", (0, 1)).length_ns / base.gate("cx", (1, 0)).length_ns
    for made in drawn[:20]:
        ours = made.gate("cx", (0, 1)).length_ns / made.gate("cx", (1, 0)).length_ns
        assert ours == pytest.approx(ratio)


def test_a_range_can_be_a_point_but_not_upside_down():
    point = RandomizedConfig(name="randomized", devices=20, readout_length_ns=(900, 900))
    made = point.draw(snapshot("FakeAlgiers").restrict(CHAIN), 0)
    lengths = {q.readout_length_ns for c in made for q in c.qubits}
    np.testing.assert_allclose(sorted(lengths), 900)
    for bad in ((2, 1), (0, 1), (-1, 1), (1, float("inf")), (1,)):
        with pytest.raises(ValidationError):
            RandomizedConfig(name="randomized", t1_us=bad)
