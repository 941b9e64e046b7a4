"""The base of every config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class ConfigModel(BaseModel):
    """Typed fields that are checked when made: none unknown, none changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def plain(self) -> dict[str, Any]:
        """Return the fields as plain values: what is logged, hashed and compared."""
        return self.model_dump(mode="json", serialize_as_any=True)


class CommandConfig(ConfigModel):
    """The whole config of a command, with how it was composed."""

    _overridden: frozenset[str] = PrivateAttr(frozenset())
    _choices: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def overridden(self) -> frozenset[str]:
        """Keys and groups that were asked for, in place of the defaults."""
        return self._overridden

    @property
    def choices(self) -> Mapping[str, str]:
        """Group -> name of its config."""
        return self._choices

    def composed(self, overrides: Sequence[str], choices: Mapping[str, str]) -> Self:
        """Return the config with how it was composed.

        Args:
            overrides: ``key=value`` each, as on the command line.
        """
        config = self.model_copy()
        asked = (text.partition("=")[0].lstrip("+~").partition("@")[0] for text in overrides)
        config._overridden = frozenset(asked)
        config._choices = dict(choices)
        return config
