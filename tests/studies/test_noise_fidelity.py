"""The study of how faithful noise models are; the fit itself: tests/simulation/test_fitting.py."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend.datasets.expectations import load_expectations
from qmend.devices.device import DeviceConfig, load_device
from qmend.noise.fitting import FitSettings
from qmend.studies.fidelity import DEFAULT, MEASURED
from qmend.studies.noise_fidelity import EXTRAPOLATED, compare_models, observed_bits
from qmend.types import QmendError

FOLDER = Path(__file__).resolve().parents[2] / "data" / "algiers_trotter"


@pytest.fixture(scope="module")
def measured():
    return load_expectations(FOLDER)


@pytest.fixture(scope="module")
def device():
    return load_device(DeviceConfig(name="a", backend="FakeAlgiers", layout=(0, 1, 2, 3)))


def test_values_belong_to_the_bit_of_their_label():
    np.testing.assert_array_equal(observed_bits(("IIIZ", "IIZI", "IZII", "ZIII")), [0, 1, 2, 3])
    with pytest.raises(QmendError, match="hold 'ZIIZ'"):
        observed_bits(("ZIIZ",))


def test_the_rows_are_of_the_measured_data(measured, device):
    """Part of the data and one step: the table's rows that no fit touches are the known ones."""
    few = np.arange(0, len(measured), 20)
    part = replace(
        measured,
        instructions=measured.instructions.select(few),
        **{
            name: getattr(measured, name)[few]
            for name in ("layouts", "measured", "values", "ideal_values", "extrapolated_values")
            + ("shots", "job_id", "n_two_qubit")
        },
    )
    report = compare_models(part, device, FitSettings(iterations=1), seed=0, replicates=20)
    rows = {row.name: row for row in report.rows}
    held_out = few[report.test]
    z, ideal = measured.values[held_out], measured.ideal_values[held_out]
    assert rows[MEASURED].slope.value == pytest.approx((ideal * z).sum() / (ideal**2).sum())
    assert rows[MEASURED].mean_error.value == pytest.approx(np.abs(z - ideal).mean())
    source = measured.extrapolated_values[held_out]
    assert rows[EXTRAPOLATED].error_to_measured.value == pytest.approx(
        np.sqrt(((source - z) ** 2).mean())
    )
    # Aer's device model is too kind: PAPER's .864 / .995 on all circuits.
    assert 0.8 < rows[DEFAULT].slope.value < 0.93
    assert rows[DEFAULT].correlation.value > 0.99


def test_circuits_of_other_qubits_are_refused(measured):
    other = load_device(DeviceConfig(name="a", backend="FakeAlgiers", layout=(1, 2, 3, 5)))
    with pytest.raises(QmendError, match=r"ran on \[\(0, 1, 2, 3\)\], device.layout is"):
        compare_models(measured, other, FitSettings(), 0, 10)
