"""Types that every room shares: the error a user reads, array aliases, split names, progress."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
AnyArray = NDArray[Any]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

#: Which part of a mitigator's input comes from other circuits, by the names of arXiv 2601.14226.
Ablation = Literal[
    "standard", "random_backend", "random_noise", "random_circuit", "random_circuit_and_backend"
]

#: Called with how many circuits or records are finished so far and in all.
Progress = Callable[[int, int], None]


class QmendError(Exception):
    """One clear sentence that names the error and the way out.

    The command line prints the message alone and exits with ``status``; a traceback appears
    only with ``QMEND_DEBUG=1``.

    Attributes:
        status: exit status of a command that ends with it.
    """

    status = 2


def nearest(word: str, choices: Iterable[str]) -> str:
    """Suggest the closest choice, ``Did you mean 'x'?``, or list them all."""
    options = sorted(set(choices))
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Valid: {', '.join(options)}."
