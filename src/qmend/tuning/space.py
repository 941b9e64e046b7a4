"""Search spaces: the keys of a config that a search varies, their values and conditions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, Self

from pydantic import ValidationError, field_validator, model_validator

from qmend.config.errors import validation_sentence
from qmend.config.model import ConfigModel
from qmend.config.nested import flatten
from qmend.types import QmendError, nearest

#: Parts of a config that a search may vary.
SECTIONS = ("model", "loss", "optimizer", "trainer")
#: Key that a search can't vary -> the reason and the way out.
_DECIDED = {
    "model.name": "a search keeps the architecture: choose it with model=",
    "model.encoding": "a search keeps the encoding, which its trials share: set model.encoding=",
    "trainer.max_epochs": "all trials may train equally long: set trainer.max_epochs=",
    "trainer.monitor": "it is tune.metric",
    "trainer.threads": "it is the whole part of tune.resources.cpu",
    "trainer.save_every_seconds": "it changes no result: set trainer.save_every_seconds=",
}
#: ``loss`` stands for the loss by its name.
_LOSS, _LOSS_NAME = "loss", "loss.name"

#: A value that a config file can hold.
Value = bool | int | float | str | None


class Parameter(ConfigModel):
    """One key's values.

    Attributes:
        low, high: both ends belong to the range.
        log: uniform in the logarithm.
        step: values are low, low + step, ...
        choices: of a categorical parameter.
        condition: other key -> values under which this one is varied; otherwise it keeps the
            value that the config has without a search.
        multiple_of: keys whose values must divide this one's; the nearest multiple is taken.
    """

    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Value, ...] | None = None
    condition: dict[str, tuple[Value, ...]] = {}
    multiple_of: tuple[str, ...] = ()

    @field_validator("condition", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return {} if value is None else value
        flat = flatten(value)
        return {k: v if isinstance(v, list | tuple) else (v,) for k, v in flat.items()}

    @field_validator("multiple_of", mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "categorical":
            if not self.choices:
                raise ValueError("a categorical parameter needs choices")
            if (self.low, self.high, self.step) != (None, None, None) or self.log:
                raise ValueError("a categorical parameter has choices and no range")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("a choice is named twice")
        else:
            if self.choices is not None:
                raise ValueError("only a categorical parameter has choices")
            if self.low is None or self.high is None or not self.low < self.high:
                raise ValueError("a range needs low and high, low below high")
            if not math.isfinite(self.low) or not math.isfinite(self.high):
                raise ValueError("a range ends with finite numbers")
            if self.log and (self.low <= 0 or self.step is not None):
                raise ValueError("a logarithmic range has positive ends and no step")
            if self.step is not None and self.step <= 0:
                raise ValueError("step must be positive")
            if self.type == "int" and any(
                v is not None and v != int(v) for v in (self.low, self.high, self.step)
            ):
                raise ValueError("an int parameter has whole numbers as low, high and step")
        if self.multiple_of and (self.type != "int" or self.step is not None):
            raise ValueError("multiple_of is for int parameters without step")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value; an upper end that no step meets is lowered to one."""
        assert self.low is not None
        assert self.high is not None
        if self.step is None:
            return self.low, self.high
        return self.low, self.low + math.floor(
            (self.high - self.low) / self.step + 1e-8
        ) * self.step

    def multiple(self, value: Value, divisors: Sequence[Value]) -> Value:
        """Round to the nearest multiple of all divisors that lies inside the range."""
        if not divisors or not isinstance(value, int):
            return value
        unit = math.lcm(*(int(divisor) for divisor in divisors if divisor is not None))
        low, high = (int(end) for end in self.range)
        least, most = -(-low // unit), high // unit
        return unit * min(max(round(value / unit), least), max(most, least))

    def read(self, text: str) -> Value:
        """Read a logged value; None where it is no number, text where it is no choice."""
        if self.choices is not None:
            return next((choice for choice in self.choices if str(choice) == text), text)
        try:
            number = float(text)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        return round(number) if self.type == "int" else number

    def contains(self, value: Any) -> bool:
        """Tell whether it is one of the values."""
        if self.choices is not None:
            return any(value == c and type(value) is type(c) for c in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.range
        if self.type == "int" and value != int(value):
            return False
        steps = 0.0 if self.step is None else (value - low) / self.step
        return low <= value <= high and abs(steps - round(steps)) < 1e-8

    def nearest(self, value: Any) -> Any:
        """Move a value into the range; None where it is no number, or no choice."""
        if self.contains(value):
            return float(value) if self.type == "float" else value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.choices is not None or not number or not math.isfinite(value):
            return None
        low, high = self.range
        if self.step is not None:
            value = low + round((value - low) / self.step) * self.step
        value = min(max(value, low), high)
        return round(value) if self.type == "int" else float(value)


@dataclass(frozen=True)
class SearchSpace:
    """Dotted key of a config -> its values; a key comes after those it depends on."""

    parameters: dict[str, Parameter]

    @staticmethod
    def parse(raw: Mapping[str, Any], config: Mapping[str, Any]) -> SearchSpace:
        """Read a space and check it against the config that it varies.

        Args:
            raw: ``tune.space``: nested or dotted keys, with a ``type`` in each parameter.
            config: the whole config; the values that unvaried keys keep.

        Raises:
            QmendError: naming the first key that is unknown, is not a search's to vary, or has a
                wrong range, choice or condition.
        """
        base = base_values(config)
        parameters = dict(_parameters(raw, ""))
        if not parameters:
            raise QmendError("tune.space is empty; name at least one key to vary.")
        for key, parameter in parameters.items():
            _check_key(key, base, f"tune.space.{key}")
            if key in _DECIDED:
                raise QmendError(f"tune.space.{key} can't be searched: {_DECIDED[key]}.")
            for other in (*parameter.condition, *parameter.multiple_of):
                _check_key(other, base, f"tune.space.{key}: {other}")
        return SearchSpace({key: parameters[key] for key in _ordered(parameters)})

    def draw(
        self, suggest: Callable[[str, Parameter], Value], base: Mapping[str, Value]
    ) -> dict[str, Value]:
        """Draw the values of one trial; keys whose condition does not hold are left out.

        Args:
            suggest: draws one value.
            base: the config's own values, see :func:`base_values`.
        """
        values = dict(base)
        varied = []
        for key, parameter in self.parameters.items():
            if all(values.get(k) in allowed for k, allowed in parameter.condition.items()):
                divisors = [values.get(other) for other in parameter.multiple_of]
                values[key] = parameter.multiple(suggest(key, parameter), divisors)
                varied.append(key)
        return {key: values[key] for key in varied}

    def read(self, params: Mapping[str, str]) -> dict[str, Value]:
        """Read the values of a trial from its run's params, inside the ranges or not.

        Keys whose condition does not hold are left out; categorical values that are no choice
        stay text.
        """
        values: dict[str, Value] = {}
        for key, parameter in self.parameters.items():
            text = _logged(params, key)
            if text is not None and all(
                _logged(params, other) in [str(value) for value in allowed]
                for other, allowed in parameter.condition.items()
            ):
                value = parameter.read(text)
                if value is not None or parameter.choices is not None:
                    values[key] = value
        return values

    def project(self, config: Mapping[str, Any]) -> dict[str, Value]:
        """Project a config onto the space.

        A value beyond a range becomes its end. A key whose value is no choice, or whose condition
        does not hold, is left out.
        """
        own = base_values(config)

        def nearest_or_own(key: str, parameter: Parameter) -> Value:
            value: Value = parameter.nearest(own.get(key))
            return own.get(key) if value is None else value

        values = self.draw(nearest_or_own, own)
        return {k: v for k, v in values.items() if self.parameters[k].contains(v)}

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Dotted key -> the fields of its parameter that are not as by default."""
        return {
            key: parameter.model_dump(mode="json", exclude_defaults=True)
            for key, parameter in self.parameters.items()
        }


def _logged(params: Mapping[str, str], key: str) -> str | None:
    """A run's param; ``loss`` stands for ``loss.name``."""
    return params.get(_LOSS_NAME if key == _LOSS else key, params.get(key))


def base_values(config: Mapping[str, Any]) -> dict[str, Value]:
    """Dotted key -> value of what a search may vary; ``loss`` is the loss's name."""
    flat = flatten({name: config[name] for name in SECTIONS if name in config})
    if _LOSS_NAME in flat:
        flat[_LOSS] = flat.pop(_LOSS_NAME)
    return flat


def with_values(config: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """Copy a config with some dotted keys set."""
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    for key, value in values.items():
        *path, last = (_LOSS_NAME if key == _LOSS else key).split(".")
        at = changed
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return changed


def _parameters(raw: Mapping[str, Any], prefix: str) -> list[tuple[str, Parameter]]:
    parameters = []
    for name, value in raw.items():
        key = f"{prefix}{name}"
        if value is None:
            continue  # a key that an experiment or a command line takes out
        if not isinstance(value, Mapping):
            raise QmendError(
                f"tune.space.{key} must be a parameter with a type, low and high or choices, "
                f"not {value!r}."
            )
        if "type" not in value or isinstance(value["type"], Mapping):
            if value and not any(isinstance(v, Mapping) for v in value.values()):
                raise QmendError(f"tune.space.{key} needs a type: float, int or categorical.")
            parameters += _parameters(value, f"{key}.")
            continue
        try:
            parameters.append((key, Parameter.model_validate(dict(value))))
        except ValidationError as error:
            fields = dict.fromkeys(Parameter.model_fields) | dict(value)
            sentence = validation_sentence(error, fields)
            raise QmendError(f"tune.space.{key}: {sentence}") from None
    return parameters


def _check_key(key: str, base: Mapping[str, Value], where: str) -> None:
    if key not in base:
        raise QmendError(f"{where}: unknown key. {nearest(key, base)}")


def _ordered(parameters: Mapping[str, Parameter]) -> list[str]:
    """Order keys, those that others depend on first; refuse a circle."""
    needs = {
        key: [other for other in (*p.condition, *p.multiple_of) if other in parameters]
        for key, p in parameters.items()
    }
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        key, *others = reversed(error.args[1])
        raise QmendError(
            f"tune.space.{key}: its condition depends on itself, by way of {' and '.join(others)}."
        ) from None
