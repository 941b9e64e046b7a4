"""The common form of studies: every model of every scale composes on the data of every study."""

from __future__ import annotations

import pytest

from qmend.config.paths import conf_dir
from qmend.studies import compose_study
from qmend.studies.grid import GridConfig, compose_fine_tuned, compose_network, compose_test

SCALES = sorted(path.stem for path in (conf_dir() / "scale").glob("*.yaml"))
STUDIES = ("ablation", "architectures", "cross_family", "labels", "transfer")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", STUDIES)
def test_networks_and_tests_compose_on_all_data(study: str, scale: str) -> None:
    config = compose_study(study, [f"scale={scale}"])
    assert isinstance(config, GridConfig)
    for source in config.source:
        test = compose_test(config, source, source, [])
        assert test.simulated.name == f"{scale}_{source}"
    for model in config.models:
        network = compose_network(config, model, source, config.scale.models[model])
        tuned = compose_fine_tuned(config, model, source, model, network)
        for part in ("model", "loss", "optimizer", "trainer"):
            assert getattr(tuned.training, part) == getattr(network.training, part)
        # Else its rate would be the one that is written there, not a tenth of its parent's.
        assert "optimizer.lr" not in tuned.training.overridden
        assert network.training.simulated == tuned.training.simulated


def test_all_runs_studies_that_say_how_long_they_take() -> None:
    config = compose_study("all")
    assert set(config.minutes) == set(config.studies)
    for name in config.studies:
        assert compose_study(name, ["scale=paper"]).scale.name == "paper"
