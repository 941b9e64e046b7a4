"""``qmend study labels``, on a few circuits."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

MODELS = '+scale.models={blind_mlp: ["model=blind_mlp","trainer=tiny"]}'
STUDY = (
    "study",
    "labels",
    'scale.data=["dataset=tiny"]',
    "~scale.models",
    MODELS,
    "models=[blind_mlp]",
    "+published.blind_mlp={l1rc_median: -0.1, improved_pct: [80, 91]}",
    "data.workers=1",
)


def test_mislabelled_circuits_look_like_stronger_noise(here: Command, tmp_path: Path) -> None:
    out = here(*STUDY).succeeded().out
    assert "routing permutes the qubits of" in out
    assert "figure is nearer the published -0.10" in out
    assert "-0.10 / 80 to 91" in out
    folder = tmp_path / "reports" / "labels" / "pauli_published"
    names = ["figure.png", "figure.svg", "figures.json", "table.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    figures = json.loads((folder / "figures.json").read_text())
    assert list(figures) == ["proven", "mislabelled", "published"]
    methods = ["blind_mlp", "depolarizing_inversion", "path_inversion"]
    assert list(figures["proven"]) == list(figures["mislabelled"]) == methods
    assert figures["published"] == {"blind_mlp": {"l1rc_median": [-0.1, -0.1, -0.1]}}
    # They are right about the noise: wrong labels can only hide it.
    for method in methods[1:]:
        proven, wrong = (figures[label][method] for label in ("proven", "mislabelled"))
        assert proven["l1rc_median"][0] < wrong["l1rc_median"][0] - 0.05
        assert proven["improved_pct"][1] > wrong["improved_pct"][2]

    store = open_store(tmp_path / "mlruns")
    runs = {run.info.run_id: run.data.tags for run in store.runs("tags.kind != 'study'")}
    assert len(runs) == 6
    assert len({tags["dataset_sha"] for tags in runs.values()}) == 2
    assert {tags["dataset"] for tags in runs.values()} == {
        "small_pauli_published",
        "small_pauli_published_mislabelled",
    }
    here(*STUDY).succeeded()
    assert {run.info.run_id for run in store.runs("tags.kind != 'study'")} == set(runs)


def test_proven_labels_from_elsewhere_are_refused(here: Command, tmp_path: Path) -> None:
    other = STUDY[:4]
    fresh = '+scale.models={blind_mlp: ["model=blind_mlp","online=dataset"]}'
    here(*other, fresh, "models=[blind_mlp]").refused("blind_mlp", "proven labels")
    here(*STUDY, "baselines=[path_inversoin]").refused("pauli_published", "path_inversion")
    assert list(tmp_path.iterdir()) == []
