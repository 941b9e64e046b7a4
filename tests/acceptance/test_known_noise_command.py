"""``qmend study known_noise``, on a few circuits."""

from __future__ import annotations

from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

STUDY = (
    "study",
    "known_noise",
    "dataset=tiny",
    "dataset/noise=surrogate_hardware",
    "data.workers=1",
)


def test_both_networks_are_in_one_table(here: Command, tmp_path: Path) -> None:
    quick = "'trainer.max_epochs=1','model.channels=4','model.blocks=1'"
    words = (*STUDY, "train_circuits=24", f"network=['experiment=walsh_operator',{quick}]")
    out = here(*words).succeeded().out
    assert "walsh_operator that knows the noise" in out
    table = (tmp_path / "reports" / "known_noise" / "tiny_algiers.md").read_text().splitlines()
    assert len(table) == 5  # two of the heading, the reference
    (bold,) = [line for line in table if "**" in line]
    assert "knows" not in bold
    store = open_store(tmp_path / "mlruns")
    (plain,), (knowing,) = (store.runs(f"tags.kind = '{kind}'") for kind in ("train", "reference"))
    assert knowing.data.tags["encoding"] == "known_noise"
    assert knowing.data.tags["architecture"] == plain.data.tags["architecture"]
    # Otherwise alike, down to the first weights: they differ in what the network sees.
    parameters, median = "cost/parameters", "test/l1rc_median"
    assert knowing.data.metrics[parameters] == plain.data.metrics[parameters]
    assert knowing.data.metrics[median] != plain.data.metrics[median]
    again = here(*words).succeeded().out
    assert "epochs" not in again
    assert "error maps" not in again


def test_a_network_without_parities_is_refused(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "network=['model=blind_mlp']").refused("blind_mlp", "model=walsh_operator")
    assert list(tmp_path.iterdir()) == []


def test_randomized_compiling_is_refused(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "dataset.twirling.randomizations=4").refused("twirling.randomizations=0")
    assert list(tmp_path.iterdir()) == []


def test_imported_data_are_refused(here: Command, tmp_path: Path) -> None:
    here("study", "known_noise", "dataset=hardware_public").refused("imported from measurements")
    assert list(tmp_path.iterdir()) == []
