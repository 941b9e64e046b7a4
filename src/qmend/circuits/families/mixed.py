"""Circuits of several families in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from qmend.circuits.families import FAMILIES, Family, SourceCircuit, build_family


@FAMILIES.register("mixed")
class MixedFamily(Family):
    """Circuit k of a dataset is of family k mod F of the F ``families``, in the order of names.

    Attributes:
        n_qubits: of all circuits; a family's own number of qubits is not read.
        families: name of each, of any choice -> its config.
    """

    name: Literal["mixed"]
    families: dict[str, SerializeAsAny[Family]] = Field(min_length=1)

    @field_validator("families", mode="before")
    @classmethod
    def _built(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("families maps names to configs of families")
        size = {key: info.data[key] for key in ("n_qubits",) if key in info.data}
        plain = {k: v.model_dump() if isinstance(v, Family) else v for k, v in value.items()}
        # A recipe's hash does not tell their order, so that it must not decide the circuits.
        return {name: build_family({**plain[name], **size}) for name in sorted(plain)}

    def __hash__(self) -> int:
        # Pydantic's own would hash the mapping, which has no hash.
        return hash(self.model_dump_json())

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        """Draw one circuit of any of the families."""
        return self.stratum(int(rng.integers(len(self.families)))).draw(rng)

    def stratum(self, index: int) -> Family:
        turn, place = divmod(index, len(self.families))
        return list(self.families.values())[place].stratum(turn)
