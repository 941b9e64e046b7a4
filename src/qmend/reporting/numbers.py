"""Write numbers for tables and sentences."""

from __future__ import annotations

import math
from typing import Any

from qmend.metrics import Interval


def signed_text(interval: Interval, digits: int = 3) -> str:
    """Write a difference with its interval: ``+0.023 [+0.021, +0.026]``."""
    value, lo, hi = (f"{x:+.{digits}f}" for x in (interval.value, interval.lo, interval.hi))
    return f"{value} [{lo}, {hi}]"


def count_text(count: int) -> str:
    """Write a count: ``12,345``, ``6.54M``."""
    return f"{count:,}" if count < 1_000_000 else f"{count / 1e6:.3g}M"


def seconds_text(seconds: float) -> str:
    """Write seconds: ``12.3``, ``<0.1``."""
    return f"{seconds:.1f}" if seconds >= 0.05 else "<0.1"


def age_text(milliseconds: float) -> str:
    """Write a time span: ``40 s``, ``7 min``, ``3 h``, ``12 d``."""
    seconds = max(milliseconds, 0) / 1000
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size or (unit == "min" and seconds >= 60):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_text(size: int) -> str:
    """Write a file size: ``812 B``, ``34 kB``, ``1.2 MB``."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def number_text(value: float) -> str:
    """Write a number with six significant digits, or a whole one in full."""
    return f"{value:,.0f}" if value == int(value if math.isfinite(value) else 0) else f"{value:.6g}"


def value_text(value: Any) -> str:
    """Write a value of a config: four significant digits, ``none`` for None."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def listing(names: list[str]) -> str:
    """Join names: ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
