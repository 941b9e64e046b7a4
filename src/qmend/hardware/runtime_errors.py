"""Kinds of runtime errors: gone at the next try, gone with a new session, or permanent."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMError, IBMNotAuthorizedError, RuntimeJobNotFound

from qmend.hardware.jobs import SessionEndedError, TransientError
from qmend.types import QmendError

T = TypeVar("T")

#: HTTP answers that another try may change; -1 is no answer at all.
_TRANSIENT_STATUS = (-1, 408, 425, 429)
_REFUSED = (
    "IBM Quantum refused the request ({}); correct it, then run the same command again: what was "
    "collected is kept."
)


class NotFoundError(Exception):
    """The service does not know the job."""


def ask_runtime(call: Callable[[], T], sentence: str = _REFUSED) -> T:
    """Ask the runtime, and raise its errors by kind; ``sentence`` words permanent ones.

    Raises:
        NotFoundError: the service does not know the job.
        TransientError: another try may help.
        QmendError: it does not.
    """
    try:
        return call()
    except RuntimeJobNotFound:
        raise NotFoundError from None
    except QmendError:
        raise
    except Exception as error:
        text = one_line(str(error) or type(error).__name__)
        if "session" in text.lower() and "closed" in text.lower():
            raise SessionEndedError(text) from None
        if _is_transient(error):
            raise TransientError(text) from None
        raise QmendError(sentence.format(text)) from None


def _is_transient(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS or status >= 500
    if isinstance(error, IBMError):
        return not isinstance(error, IBMNotAuthorizedError | ValueError)
    return isinstance(error, OSError)  # among them those of requests


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error; the runtime hides it in the context of its own."""
    while error is not None:
        if isinstance(error, RequestsApiError):
            return int(error.status_code)
        error = error.__cause__ or error.__context__
    return None


def one_line(text: str) -> str:
    """Take the last line of a foreign message (a traceback's error), without tokens."""
    lines = [line.strip() for line in str(text).strip().splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    if line[:1] in "'\"" and line[:1] == line[-1:]:
        line = line[1:-1]  # Qiskit's errors quote themselves
    line = line.rstrip(". ")
    for secret in _secrets():
        line = line.replace(secret, "***")
    return line[:300]


def _secrets() -> list[str]:
    """Tokens of the environment and of saved accounts, to be kept out of messages."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    tokens = [os.environ.get("QISKIT_IBM_TOKEN")]
    with suppress(Exception):  # a damaged file of accounts has its own message elsewhere
        tokens += [a.get("token") for a in QiskitRuntimeService.saved_accounts().values()]
    return [secret for secret in tokens if secret]
