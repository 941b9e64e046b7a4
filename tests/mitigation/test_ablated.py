"""Ablations: each takes its part from another circuit, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qmend.datasets.table import Dataset
from qmend.mitigation.ablated import AblatedMitigator, ablate
from qmend.mitigation.baselines.path_inversion import PathInversion
from qmend.types import Ablation, QmendError

#: Field of the batch -> ablations that change it.
CHANGED: dict[str, set[Ablation]] = {
    "noisy": {"random_noise"},
    "instructions": {"random_circuit", "random_circuit_and_backend"},
    "calibration_index": {"random_backend", "random_circuit_and_backend"},
}


@pytest.mark.parametrize(
    "ablation",
    ["standard", "random_backend", "random_noise", "random_circuit", "random_circuit_and_backend"],
)
def test_a_part_comes_from_another_circuit_and_nothing_else_does(
    tiny: Dataset, ablation: Ablation
) -> None:
    batch = tiny.part("test").circuits
    count = len(batch)
    # Each circuit has a calibration of its own, so that every exchange shows.
    batch = replace(
        batch,
        calibrations=batch.calibrations[:1] * count,
        layouts=batch.layouts[:1] * count,
        calibration_index=np.arange(count),
    )
    ablated = ablate(batch, ablation)
    same = {
        "noisy": (ablated.noisy == batch.noisy).all(axis=1),
        "instructions": np.array(ablated.instructions.circuit_ids())
        == np.array(batch.instructions.circuit_ids()),
        "calibration_index": ablated.calibration_index == batch.calibration_index,
    }
    for field, kept in same.items():
        assert (not kept.any()) if ablation in CHANGED[field] else kept.all(), field
    for values in (ablated.noisy, ablated.calibration_index):  # each is used once
        assert len(np.unique(values, axis=0)) == count


@pytest.mark.parametrize("sizes", [[7, 5, 4, 4], [10, 10], [1, 1], [12, 4, 4]])
def test_no_circuit_keeps_its_calibration(tiny: Dataset, sizes: list[int]) -> None:
    """Of a job all circuits have the same: another circuit of the job would change nothing."""
    index = np.repeat(np.arange(len(sizes)), sizes)
    batch = tiny.part("test").circuits.select(np.arange(len(index)))
    batch = replace(
        batch,
        calibrations=batch.calibrations[:1] * len(sizes),
        layouts=batch.layouts[:1] * len(sizes),
        calibration_index=index,
    )
    ablated = ablate(batch, "random_backend")
    kept = ablated.calibration_index == index
    assert kept.sum() == max(0, 2 * max(sizes) - len(index))
    assert_array_equal(np.bincount(ablated.calibration_index), sizes)


def test_the_circuit_and_its_calibration_stay_together_where_both_are_another_s(
    tiny: Dataset,
) -> None:
    batch = tiny.part("test").circuits
    batch = replace(
        batch,
        calibrations=batch.calibrations[:1] * len(batch),
        layouts=batch.layouts[:1] * len(batch),
        calibration_index=np.arange(len(batch)),
    )
    ablated = ablate(batch, "random_circuit_and_backend")
    ids = np.array(batch.instructions.circuit_ids())
    assert_array_equal(ids[ablated.calibration_index], ablated.instructions.circuit_ids())


def test_a_method_that_reads_the_circuit_is_worse_with_another_s(tiny: Dataset) -> None:
    part = tiny.part("test")
    fitted = PathInversion().fit(*tiny.parts("train"))

    def error(ablation: Ablation) -> float:
        mitigated = AblatedMitigator(fitted, ablation).mitigate(part.circuits)
        return float(np.abs(mitigated - part.ideal).sum(axis=1).mean())

    assert error("standard") < 0.9 * error("random_circuit") < error("random_noise")


def test_one_calibration_is_no_other_circuit_s(tiny: Dataset) -> None:
    with pytest.raises(QmendError, match="several calibrations"):
        ablate(tiny.part("test").circuits, "random_backend")
