"""Checks of a store that is an MLflow server. Importable without MLflow."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from qmend.types import QmendError

_SECONDS = 5


def check_server(address: str) -> str:
    """Check within seconds that an MLflow server answers; return what it says of its version.

    MLflow's client alone tries for minutes. Whether the server lets this user in is seen later.

    Raises:
        QmendError: if none does.
    """
    try:
        with urlopen(f"{address}/version", timeout=_SECONDS) as answer:
            text = str(answer.read(100), "utf-8", "replace").strip()
    except HTTPError as error:
        if error.code in (401, 403):
            return "of unknown version"
        raise _no_server(address, f"{error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):
            return "of unknown version"  # MLflow has certificates of its own
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        raise _no_server(address, text) from None
    if not re.fullmatch(r"\d+\.\d+\S{0,20}", text):
        raise _no_server(address, "another program answers")
    return text


def _no_server(address: str, reason: str) -> QmendError:
    return QmendError(
        f"No MLflow server answers at {address} ({reason}); start it, or choose another "
        "tracking.root."
    )


def check_artifacts(address: str, location: str) -> None:
    """Check that this machine can write to where a server's runs keep their files.

    Raises:
        QmendError: if they lie in a directory that is not here.
    """
    path = location.removeprefix("file://")
    if "://" in path or not path.startswith("/") or Path(path).is_dir():
        return
    raise QmendError(
        f"The tracking server {address} keeps files in a directory of its own machine ({path}), "
        "which is not on this one; start it with --artifacts-destination, so that it passes them "
        "on."
    )
