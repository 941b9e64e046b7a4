"""Where a store is: a directory, or a server that several people share."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qmend.types import QmendError

#: The store of the working directory.
DEFAULT = "mlruns"
#: MLflow's own variable for the same.
VARIABLE = "MLFLOW_TRACKING_URI"


def store_root(text: str | Path | None = None) -> Path | str:
    """Read where a store is: the path of a directory, or a server's address as text.

    Args:
        text: a path, an ``http://`` or ``https://`` address, or MLflow's URI of a directory's
            database (``sqlite:////data/mlruns/mlflow.db``). None: where ``MLFLOW_TRACKING_URI``
            says, else ``mlruns``.

    Raises:
        QmendError: if it is none of them, or holds a password.
    """
    if text is None:
        text = os.environ.get(VARIABLE) or DEFAULT
    text = str(text) if isinstance(text, Path) else text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme) or scheme == "file":
        path = unquote(urlsplit(text).path) if scheme == "file" and colon else text
        return Path(path or DEFAULT)
    if scheme in ("http", "https") and rest.startswith("//"):
        return _server(text)
    database = re.fullmatch(r"sqlite:///(.*)mlflow\.db", text)
    if database:
        return Path(database[1] or ".")
    raise QmendError(
        f"{text} is no tracking store: give a directory, or the address of an MLflow server "
        f"(http://... or https://...), by tracking.root, --root or {VARIABLE}."
    )


def _server(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise QmendError(f"tracking.root={text} is no address: {error}.") from None
    if not host:
        raise QmendError(f"tracking.root={text} names no host; give http://HOST:PORT.")
    if parts.username or parts.password:
        raise QmendError(
            f"The address of the tracking server {host} holds a name or password, which every run "
            "would log; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead."
        )
    return text.rstrip("/")


def local_folder(root: Path | str) -> Path:
    """Return the directory of this machine's own files of a store.

    They are the states of unfinished trainings and searches, and locks. A server's lie below
    ``mlruns`` of the working directory.
    """
    if isinstance(root, Path):
        return root
    address = re.sub(r"[^A-Za-z0-9.-]+", "_", root.partition("//")[2])
    return (Path(DEFAULT) / address).resolve()
