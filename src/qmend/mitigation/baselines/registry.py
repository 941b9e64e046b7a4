"""The baselines by name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

import qmend.mitigation.baselines as package
from qmend.mitigation.base import Mitigator

_REGISTRY: dict[str, type[Mitigator]] = {}
_Kind = TypeVar("_Kind", bound=type[Mitigator])


def register(baseline: _Kind) -> _Kind:
    """Class decorator: make a baseline known under its name."""
    _REGISTRY[baseline.name] = baseline
    return baseline


def baselines() -> dict[str, type[Mitigator]]:
    """All baselines, found by importing every module of this package."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(_REGISTRY)
