"""Configs that runs logged before keys were renamed are read, and keep what they are hashed by.

``stored`` holds ``config.yaml`` of three trainings of before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from qmend.config.spellings import current_form, stable_form
from qmend.datasets.config import recipe_configs
from qmend.training.config import TrainingConfig

STORED = sorted((Path(__file__).parent / "stored").glob("*.yaml"))
PARTS = ("model", "loss", "optimizer", "trainer", "seed", "online")


@pytest.fixture(params=STORED, ids=lambda path: path.stem)
def stored(request: pytest.FixtureRequest) -> dict[str, Any]:
    config = yaml.safe_load(request.param.read_text())
    assert isinstance(config, dict)
    return config


def test_a_stored_training_is_read_under_present_names(stored: dict[str, Any]) -> None:
    present = current_form(stored)
    training = TrainingConfig.model_validate({part: present[part] for part in PARTS})
    again = stable_form(training.plain())
    for part in ("model", "loss", "optimizer", "trainer", "seed"):
        assert again[part] == stored[part]
    if stored["fresh"] is not None:
        assert {key: again["fresh"][key] for key in stored["fresh"]} == stored["fresh"]


def test_its_data_have_the_recipe_that_they_had(stored: dict[str, Any]) -> None:
    dataset, device = recipe_configs(stored)
    again = stable_form({"dataset": dataset.plain(), "device": device.plain()})
    assert again["dataset"] == stored["dataset"]
    given = {key: value for key, value in stored["device"].items() if value is not None}
    assert again["device"] == given
