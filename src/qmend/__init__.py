"""qmend trains networks that undo hardware noise in the output of quantum circuits.

The public face; docs/python.md shows it at work. Each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qmend.version import __version__

if TYPE_CHECKING:
    from qmend.mitigation.counts import CountsMitigator, construct_references
    from qmend.mitigation.mitigated_counts import MitigatedCounts
    from qmend.types import QmendError
    from qmend.workflows.compose import compose
    from qmend.workflows.evaluate import evaluate
    from qmend.workflows.generate import generate
    from qmend.workflows.guard import guard
    from qmend.workflows.load import load
    from qmend.workflows.observer import Observer
    from qmend.workflows.train import train
    from qmend.workflows.tune import tune

_MODULES = {
    "CountsMitigator": "qmend.mitigation.counts",
    "construct_references": "qmend.mitigation.counts",
    "MitigatedCounts": "qmend.mitigation.mitigated_counts",
    "Observer": "qmend.workflows.observer",
    "QmendError": "qmend.types",
    **{name: f"qmend.workflows.{name}" for name in ("compose", "evaluate", "generate", "load")},
    **{name: f"qmend.workflows.{name}" for name in ("guard", "train", "tune")},
}

__all__ = [
    "CountsMitigator",
    "MitigatedCounts",
    "Observer",
    "QmendError",
    "__version__",
    "compose",
    "construct_references",
    "evaluate",
    "generate",
    "guard",
    "load",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
