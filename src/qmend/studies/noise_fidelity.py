"""How faithful are noise models to a device, and what does fitting their constants do?

Executed circuits with measured <Z>: a third is fitted to, the rest compares Aer's device model,
the surrogate with drawn constants and the fitted one, each against ideal and measured values.
"""

from __future__ import annotations

import numpy as np

from qmend.datasets.expectations import Expectations
from qmend.devices.device import Device
from qmend.noise.fitting import FitSettings
from qmend.studies.fidelity import FitReport, fit_report
from qmend.types import IntArray, QmendError

#: Name of the source's own mitigation in the tables.
EXTRAPOLATED = "the source's zero-noise extrapolation"


def run_study(
    data: Expectations, device: Device, settings: FitSettings, seed: int, replicates: int
) -> FitReport:
    """Fit on a third and compare on the rest.

    Raises:
        QmendError: if the circuits ran on other qubits, or the values are not single-qubit <Z>.
    """
    layouts = {tuple(row) for row in data.layouts.tolist()}
    if layouts != {device.layout}:
        raise QmendError(
            f"The circuits of {data.folder} ran on {sorted(layouts)}, device.layout is "
            f"{list(device.layout)}; make the two equal."
        )
    others = {}
    if data.extrapolated_values is not None:
        others[EXTRAPOLATED] = data.extrapolated_values
    return fit_report(
        data.instructions,
        data.measured[:, observed_bits(data.observables)],
        data.values,
        data.ideal_values,
        data.job_id,
        device.calibration,
        device.layout,
        seed=seed,
        shots=int(data.shots.min()),
        settings=settings,
        others=others,
        replicates=replicates,
    )


def observed_bits(observables: tuple[str, ...]) -> IntArray:
    """The classical bit of each single-qubit <Z>; bit 0 is the rightmost letter.

    Raises:
        QmendError: if an observable acts on another number of bits than one.
    """
    for label in observables:
        if label.count("Z") != 1:
            raise QmendError(f"The study compares single-qubit <Z>, the data hold {label!r}.")
    return np.array([len(label) - 1 - label.index("Z") for label in observables])
