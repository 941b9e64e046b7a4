"""The baselines that can run on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    dataset; some, a package.

    Args:
        names: which, in the order wanted; None: all.

    Raises:
        QmendError: if a name is unknown.
    """
    trainable = bool((dataset.split == "train").any())
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
            mitigators.append(mitigator)
        except QmendError as error:
            skipped[name] = str(error)
    return Runnable(mitigators, skipped)
