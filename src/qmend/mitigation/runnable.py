"""The baselines that can run on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qmend.datasets.circuits import missing_values
from qmend.datasets.table import Dataset
from qmend.mitigation.base import ExecutedMitigator, Mitigator, MultiCircuitMitigator
from qmend.mitigation.baselines import BASELINES
from qmend.mitigation.simulated_runner import SimulatedRunner
from qmend.types import QmendError


@dataclass(frozen=True)
class Runnable:
    """The baselines on one dataset.

    Attributes:
        mitigators: not yet fitted.
        skipped: name of each other one -> why it can't run.
    """

    mitigators: list[Mitigator]
    skipped: dict[str, str]


def runnable_baselines(dataset: Dataset, names: Sequence[str] | None = None) -> Runnable:
    """Make the baselines that can run on a dataset; explain the others.

    Those with parameters need a train split; those that need further circuits, a simulated
    dataset; those that read a calibration, its values, which a dataset may lack; some, a
    package.

    Args:
        names: which, in the order wanted; None: all.

    Raises:
        QmendError: if a name is unknown.
    """
    trainable = bool((dataset.split == "train").any())
    missing = set().union(*(missing_values(group.circuits) for group in dataset.groups))
    mitigators: list[Mitigator] = []
    skipped: dict[str, str] = {}
    for name in BASELINES if names is None else names:
        kind = BASELINES[name]
        if kind.parameters and not trainable:
            skipped[name] = f"{dataset.folder} has no circuit in the train split to fit it to."
            continue
        try:
            mitigator = kind()
            if isinstance(mitigator, MultiCircuitMitigator):
                runner = SimulatedRunner(dataset, exact=mitigator.exact_results)
                mitigator = ExecutedMitigator(mitigator, runner)
        except QmendError as error:
            skipped[name] = str(error)
            continue
        lacking = [value for value in kind.calibration_values if value in missing]
        if lacking:
            skipped[name] = (
                f"calibrations of {dataset.folder} lack {lacking[0]}; `qmend study hardware` sets "
                "typical values, and with checkpoint=RUN_ID the means of a network's training "
                "data stand in."
            )
            continue
        mitigators.append(mitigator)
    return Runnable(mitigators, skipped)
