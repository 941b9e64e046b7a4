"""Mitigators without a network, one file each."""

from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.baselines.depolarizing_inversion import DepolarizingInversion
from qmend.mitigation.baselines.none import NoMitigation
from qmend.mitigation.baselines.path_inversion import PathInversion
from qmend.mitigation.baselines.readout_inversion import ReadoutInversion
from qmend.mitigation.baselines.uniform import Uniform

#: Those that stand beside every trained network: no further shots, nothing simulated. Few, for the
#: demo's table and time; ``baselines=all`` has the others.
STANDARD_BASELINES: tuple[type[Mitigator], ...] = (
    NoMitigation,
    Uniform,
    ReadoutInversion,
    DepolarizingInversion,
    PathInversion,
)

__all__ = [
    "BASELINES",
    "STANDARD_BASELINES",
    "DepolarizingInversion",
    "NoMitigation",
    "PathInversion",
    "ReadoutInversion",
    "Uniform",
]
