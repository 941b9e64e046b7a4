"""Configs of the small networks that each architecture names as its examples."""

from __future__ import annotations

from qmend.models.base import ARCHITECTURES, model_config
from qmend.models.config import ModelConfig


def example_config(architecture: str, example: str | None = None) -> ModelConfig:
    """Return the config of an architecture's example; by default the first."""
    examples = ARCHITECTURES[architecture].examples
    fields = examples[next(iter(examples)) if example is None else example].fields
    return model_config({"name": architecture, **fields})
