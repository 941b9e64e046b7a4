"""The base of every config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator


class ConfigModel(BaseModel):
    """Typed fields that are checked when made: none unknown, all finite, none changed later.

    Default values stand in ``conf`` alone. A config that is made in code without some of its
    fields gets them from there, if its type has such a place.

    Attributes:
        preset_at: a command's config with overrides, and a key of it, such as
            ``("train trainer=tiny", "trainer")``; None: there are no default values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    preset_at: ClassVar[tuple[str, str] | None] = None

    @classmethod
    def preset(cls, values: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return where the default values of a config with these fields stand."""
        return cls.preset_at

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.keys() >= cls.model_fields.keys():
            return values
        place = cls.preset(values)
        if place is None:
            return values
        from qmend.config.compose import preset_values  # imports Hydra

        preset = preset_values(*place)
        missing = [name for name in cls.model_fields if name not in values and name in preset]
        return {**values, **{name: preset[name] for name in missing}}

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make a config of some of its fields; the others have their default values."""
        return cls.model_validate(values)

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
