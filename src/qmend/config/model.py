"""The base of every config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConfigModel(BaseModel):
    """Typed fields that are checked when made: none unknown, none changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)
