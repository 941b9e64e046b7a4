"""Databases as MLflow makes them."""

from __future__ import annotations

import pytest

from qmend.tracking import directory
from qmend.tracking.directory import make_database


@pytest.fixture(autouse=True)
def _made_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "make_database", make_database)
