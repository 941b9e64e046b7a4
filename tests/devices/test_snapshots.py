"""Calibrations over time and of other devices: what all kinds promise, and the drift's physics."""

import math
from datetime import timedelta

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from qmend.config.paths import conf_dir
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, read_calibration
from qmend.devices.drift import DriftConfig, lognormal_sigma
from qmend.devices.randomized import RandomizedConfig
from qmend.devices.snapshots import CalibrationsConfig, SnapshotConfig
from qmend.noise.device_noise import DeviceNoise

CHAIN = (0, 1, 2, 3, 5)
KINDS = {
    "snapshot": SnapshotConfig(),
    "drift": DriftConfig(name="drift", snapshots=6),
    "randomized": RandomizedConfig(name="randomized", devices=6),
}
LONGER = {
    "drift": DriftConfig(name="drift", snapshots=9),
    "randomized": RandomizedConfig(name="randomized", devices=9),
}


def snapshot(backend: str = "FakeAlgiers") -> Calibration:
    return read_calibration(DeviceConfig(name="x", backend=backend, layout=(0,)))


@pytest.fixture(scope="module")
def base() -> Calibration:
    return snapshot()


@pytest.mark.parametrize("kind", KINDS)
def test_a_preset_states_the_defaults(kind):
    plain = yaml.safe_load((conf_dir() / "dataset" / "calibrations" / f"{kind}.yaml").read_text())
    config = TypeAdapter(CalibrationsConfig).validate_python(plain)
    assert config == type(KINDS[kind])(name=kind)
    assert set(plain) == set(type(config).model_fields)


def test_an_unknown_kind_or_field_is_refused():
    for plain in ({"name": "drfit"}, {"name": "drift", "snapshot": 3}, {"snapshots": 3}):
        with pytest.raises(ValidationError):
            TypeAdapter(CalibrationsConfig).validate_python(plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("backend", "layout"),
    [
        ("FakeAlgiers", CHAIN),
        ("FakeSherbrooke", (126, 125, 124)),
        ("FakeKingston", (148, 149, 150, 151)),
    ],
)
def test_restricting_before_or_after_is_the_same(kind, backend, layout):
    whole = snapshot(backend)
    after = [c.restrict(layout) for c in KINDS[kind].draw(whole, 5)]
    assert list(KINDS[kind].draw(whole.restrict(layout), 5)) == after


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind, base):
    first, again = (KINDS[kind].draw(base, 5) for _ in range(2))
    assert first == again
    assert (KINDS[kind].draw(base, 6) == first) == (kind == "snapshot")


@pytest.mark.parametrize("kind", LONGER)
def test_asking_for_more_leaves_the_first_as_they_are(kind, base):
    short = KINDS[kind].draw(base, 5)
    long = LONGER[kind].draw(base, 5)
    assert long[: len(short)] == short
    assert len(long) == 9
    assert len({c.calibration_id for c in long}) == 9
    times = [c.time for c in long]
    assert times == sorted(set(times))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["FakeAlgiers", "FakeKingston", "FakeLimaV2"])
def test_all_are_valid_and_of_the_bases_shape(kind, backend):
    """Same qubits and gates, the same values missing, and nothing that JSON changes."""
    whole = snapshot(backend)
    for made in KINDS[kind].draw(whole, 1):
        again = Calibration.parse(made.model_dump(mode="json"), "x")
        assert again == made
        assert again.calibration_id == made.calibration_id
        assert [g.qubits for g in made.gates] == [g.qubits for g in whole.gates]
        assert [g.gate for g in made.gates] == [g.gate for g in whole.gates]
        for ours, theirs in zip((*made.qubits, *made.gates), (*whole.qubits, *whole.gates),
                                strict=True):  # fmt: skip
            for field, value in theirs.model_dump().items():
                assert (getattr(ours, field) is None) == (value is None)
                if value == 0.0 and field in ("error", "length_ns"):
                    assert getattr(ours, field) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_simulator_takes_them(kind, base):
    """Every channel is checked to be physical when it is made."""
    for made in KINDS[kind].draw(base, 1):
        DeviceNoise(made.restrict(CHAIN), CHAIN)


def test_a_snapshot_is_the_devices_own(base):
    assert SnapshotConfig().draw(base, 3) == (base,)


# Drift.


def series(made, field: str, gate: str = "") -> np.ndarray:
    """(snapshots, qubits or gates) one value over time."""
    items = [[g for g in c.gates if g.gate == gate] if gate else c.qubits for c in made]
    return np.array([[getattr(item, field) for item in at] for at in items], dtype=float)


@pytest.fixture(scope="module", params=[0, 1])
def long(request, base) -> tuple[Calibration, ...]:
    config = DriftConfig(name="drift", snapshots=2000)
    return config.draw(base.restrict(CHAIN), request.param)


def test_the_spread_is_that_of_algiers_over_months(long):
    """Standard deviations of every qubit and pair of the chain, arXiv 2601.14226."""
    t1, t2 = (series(long, f).std(axis=0) for f in ("t1_us", "t2_us"))
    assert 24 < t1.min() <= t1.max() < 39
    assert 7 < t2.min() <= t2.max() < 68
    cx = series(long, "error", "cx").std(axis=0)
    assert 0.0011 < cx.min() <= cx.max() < 0.0048
    sx = series(long, "error", "sx").std(axis=0)
    assert 1e-4 < sx.min() <= sx.max() < 9e-4


def test_the_snapshot_is_the_median(long, base):
    """Within four standard errors: 1.25 sigma / sqrt(n), n being about one in two intervals
    of 48 h."""
    independent = len(long) * 24 / (2 * 48)
    start = long[0]
    assert start == base.restrict(CHAIN)
    for values in (
        series(long, "t1_us"),
        series(long, "t2_us"),
        series(long, "readout_error"),
        series(long, "error", "cx"),
        series(long, "error", "sx"),
    ):
        x = np.log(values / values[0])
        limit = 4 * 1.25 * x.std(axis=0) / np.sqrt(independent)
        assert (np.abs(np.median(x, axis=0)) < limit).all()


@pytest.mark.parametrize(("interval", "correlation"), [(6.0, 48.0), (24.0, 24.0)])
def test_correlation_decays_exponentially_and_qubits_are_independent(base, interval, correlation):
    config = DriftConfig(
        name="drift", snapshots=600, interval_hours=interval, correlation_hours=correlation
    )
    qubits = Calibration(device="x", time=base.time, qubits=base.qubits, gates=())
    t1 = series(config.draw(qubits, 2), "t1_us")
    x = np.log(t1 / t1[0])
    x /= [lognormal_sigma(config.t1_std_us / start) for start in t1[0]]
    x = x[60:]  # stationary by now
    assert np.mean(x**2) == pytest.approx(1, abs=0.2)
    for lag in (1, 4, 8, 24):
        expected = np.exp(-lag * interval / correlation)
        assert np.mean(x[lag:] * x[:-lag]) == pytest.approx(expected, abs=0.15)
    across = np.corrcoef(x.T)[np.triu_indices(27, 1)]
    assert abs(across.mean()) < 0.05


def test_the_variance_grows_from_the_first_snapshot_on(base):
    """Var x = 1 - exp(-2 t / correlation), over many seeds."""
    config = DriftConfig(name="drift", snapshots=4, two_qubit_sigma=0.1)
    pairs = Calibration(
        device="x",
        time=base.time,
        qubits=base.qubits,
        gates=tuple(g for g in base.gates if g.gate == "cx" and g.error < 1 and g.qubits[0] < 20),
    )
    made = [series(config.draw(pairs, s), "error", "cx") for s in range(60)]
    x = np.log(np.array(made) / made[0][0]) / 0.1
    variance = np.mean(x**2, axis=(0, 2))
    np.testing.assert_allclose(variance, 1 - np.exp(-np.arange(4)), atol=0.12)


def test_dates_and_lengths(base):
    config = DriftConfig(name="drift", snapshots=4, interval_hours=1.5)
    made = config.draw(base, 0)
    assert [c.time - base.time for c in made] == [timedelta(hours=1.5 * k) for k in range(4)]
    assert {c.device for c in made} == {base.device}
    for gate in ("cx", "sx", "reset"):
        lengths = series(made, "length_ns", gate)
        np.testing.assert_array_equal(lengths, np.tile(lengths[0], (4, 1)))
    shift = series(made, "frequency_ghz") - series((base,), "frequency_ghz")
    assert 1e-6 < np.abs(shift[1:]).max() < 1e-4  # GHz: tens of kHz


def test_what_shares_a_pulse_moves_together(long):
    last = long[-1]
    for a, b in [(0, 1), (1, 2), (2, 3), (3, 5)]:
        assert last.gate("cx", (a, b)).error == last.gate("cx", (b, a)).error
    for q in CHAIN:
        assert len({last.gate(g, (q,)).error for g in ("id", "sx", "x")}) == 1
        assert last.gate("rz", (q,)).error == 0.0
        ours = last.qubit(q)
        mean = (ours.prob_meas0_prep1 + ours.prob_meas1_prep0) / 2
        assert ours.readout_error == pytest.approx(mean, abs=1e-15)
    assert len({last.gate("sx", (q,)).error / long[0].gate("sx", (q,)).error for q in CHAIN}) == 5


def test_a_measurement_moves_with_its_readout_error():
    whole = snapshot("FakeAachen")
    assert whole.gate("measure", (3,)).error == whole.qubit(3).readout_error
    last = KINDS["drift"].draw(whole, 0)[-1]
    assert last.gate("measure", (3,)).error != whole.gate("measure", (3,)).error
    assert last.gate("measure", (3,)).error == pytest.approx(last.qubit(3).readout_error, rel=0.05)


def test_errors_stay_probabilities_however_wild_the_drift(base):
    config = DriftConfig(
        name="drift",
        snapshots=100,
        one_qubit_sigma=4,
        two_qubit_sigma=4,
        readout_sigma=4,
        t2_sigma=2,
    )
    made = config.draw(base, 0)
    faulty = [g for g in base.gates if g.error == 1.0]
    assert faulty
    assert all(made[-1].gate(g.gate, g.qubits).error == 1.0 for g in faulty)
    for values in (series(made, "error", "sx"), series(made, "readout_error")):
        assert values.min() > 0
        assert values.max() < 1
        assert values.max() > 0.3  # the bound was tried
    assert series(made, "t2_us").min() > 0


@pytest.mark.parametrize("relative", [0.0, 0.01, 0.2, 1.0, 5.0])
def test_the_sigma_of_a_log_normal(relative):
    s = lognormal_sigma(relative)
    assert math.exp(s**2) * math.expm1(s**2) == pytest.approx(relative**2, rel=1e-9, abs=1e-12)


def test_no_drift_is_the_snapshot_again(base):
    still = dict.fromkeys(
        ("t1_std_us", "t2_sigma", "one_qubit_sigma", "two_qubit_sigma", "readout_sigma",
         "frequency_std_khz"), 0.0
    )  # fmt: skip
    last = DriftConfig(name="drift", snapshots=3, **still).draw(base, 0)[-1]
    for ours, theirs in zip((*last.qubits, *last.gates), (*base.qubits, *base.gates), strict=True):
        for field, value in theirs.model_dump().items():
            exact = not isinstance(value, float)
            assert getattr(ours, field) == (value if exact else pytest.approx(value, rel=1e-12))
