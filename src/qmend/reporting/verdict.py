"""The verdict on two mitigators in one sentence, the same in every command and page."""

from __future__ import annotations

from qmend.evaluation.comparison import HARM_MARGIN, Comparison
from qmend.reporting.numbers import signed_text

#: The baseline that returns what was measured, and its name in a sentence.
_NONE, _NO_MITIGATION = "none", "no mitigation"


def verdict(ours: str, theirs: str, comparison: Comparison) -> str:
    """Say whether ours beats theirs, and why."""
    beats = "beats" if comparison.beats else "does not beat"
    other = _NO_MITIGATION if theirs == _NONE else theirs
    below = "below 0" if comparison.lower else "not all below 0"
    within = "within" if comparison.harmless else "not within"
    return (
        f"{ours} {beats} {other}: in pairs, median L1RC {signed_text(comparison.difference)} is "
        f"{below}, and the harmed share {signed_text(comparison.harm, 2)} % points is {within} "
        f"the margin of {HARM_MARGIN:g}."
    )
