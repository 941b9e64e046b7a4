"""The baselines by name."""

from __future__ import annotations

from qmend.mitigation.base import Mitigator
from qmend.registry import Registry

BASELINES: Registry[type[Mitigator]] = Registry(
    "qmend.mitigation.baselines", "baseline", "baselines"
)
