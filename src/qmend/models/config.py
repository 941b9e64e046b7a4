"""The fields that all architectures' configs share; importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import field_validator

from qmend.config.model import ConfigModel


class ModelConfig(ConfigModel):
    """Fields of a ``conf/model/*.yaml``; each architecture adds its own."""

    name: str
    encoding: str

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str] | None:
        name = values.get("name")
        return None if name is None else (f"train model={name}", "model")

    @field_validator("encoding")
    @classmethod
    def _exists(cls, value: str) -> str:
        from qmend.encodings import ENCODINGS  # imports torch

        ENCODINGS[value]
        return value
