"""A warning where a stage of DVC makes another dataset than ``dvc.lock`` records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qmend.cli.terminal import warn
from qmend.datasets.dvc_lock import lock_difference


def report_lock(folder: Path, command: Sequence[str]) -> None:
    """Warn if a command that DVC runs has made another dataset than ``dvc.lock`` records.

    Args:
        command: words behind ``qmend``.
    """
    difference = lock_difference(folder, command)
    if difference is not None:
        warn(difference)
