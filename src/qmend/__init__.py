"""qmend trains networks that undo hardware noise in the output of quantum circuits.

The public face; docs/python.md shows it at work. Each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qmend.version import __version__

if TYPE_CHECKING:
    from qmend.mitigation.counts import CountsMitigator, MitigatedCounts
    from qmend.types import QmendError
    from qmend.workflows.compose import compose
    from qmend.workflows.load import load

_MODULES = {
    "CountsMitigator": "qmend.mitigation.counts",
    "MitigatedCounts": "qmend.mitigation.counts",
    "QmendError": "qmend.types",
    "compose": "qmend.workflows.compose",
    "load": "qmend.workflows.load",
}

__all__ = ["CountsMitigator", "MitigatedCounts", "QmendError", "__version__", "compose", "load"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
