"""Circuit families behind one registry. A new family is one file here and one config."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from qiskit.circuit import QuantumCircuit

from qmend.types import QmendError, nearest


@dataclass(frozen=True)
class SourceCircuit:
    """A circuit as drawn from its family, before compilation, without measurements.

    Attributes:
        circuit: the unitary part; every qubit is measured into the bit of its own number.
        params: what was drawn, small and JSON-serialisable (column ``family_params``).
    """

    circuit: QuantumCircuit
    params: dict[str, Any]


class Family(BaseModel):
    """A distribution over circuits; its fields are the keys of its config."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[str]
    name: str
    n_qubits: int

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        """Draw one circuit; the same generator state gives the same circuit."""
        raise TypeError(f"family {self.name!r} does not define draw")


_REGISTRY: dict[str, type[Family]] = {}


def register(family: type[Family]) -> type[Family]:
    """Class decorator: make a family known under its ``kind``."""
    _REGISTRY[family.kind] = family
    return family


def families() -> dict[str, type[Family]]:
    """All families, found by importing every module of this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_REGISTRY)


def build_family(config: Mapping[str, Any]) -> Family:
    """The family a config names.

    Raises:
        QmendError: if the name is unknown.
        pydantic.ValidationError: if a field is unknown or has a bad value.
    """
    known = families()
    name = str(config.get("name"))
    if name not in known:
        raise QmendError(f"dataset.family.name: unknown family {name!r}. {nearest(name, known)}")
    return known[name].model_validate(dict(config))
