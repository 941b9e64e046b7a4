"""``qmend study ablation``, and what all studies of networks and tests have in common."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

MODELS = (
    'scale.models={blind_mlp: ["model=blind_mlp","trainer=tiny"], '
    'walsh_operator: ["model=walsh_operator","model.channels=4","model.blocks=1","trainer=tiny"]}'
)
STUDY = (
    "study",
    "ablation",
    'scale.data=["dataset=tiny"]',
    "~scale.models",
    f"+{MODELS}",
    "models=[blind_mlp,walsh_operator]",
    "~parts",
    "+parts={walsh_operator: [loss,correction]}",
    "data.workers=1",
)


def test_each_model_is_scored_under_each_ablation(here: Command, tmp_path: Path) -> None:
    out = here(*STUDY).succeeded().out
    assert "study ablation, drifting_pauli" in out
    folder = tmp_path / "reports" / "ablation" / "drifting_pauli"
    names = ["figure.png", "figure.svg", "figures.json", "table.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    figures = json.loads((folder / "figures.json").read_text())
    ablations = ["standard", "random_backend", "random_noise", "random_circuit"]
    assert list(figures) == [*ablations, "random_circuit_and_backend"]
    median = {
        (ablation, model): row["l1rc_median"][0]
        for ablation, rows in figures.items()
        for model, row in rows.items()
    }
    # It reads the measured distribution alone.
    blind = {ablation: median[ablation, "blind_mlp"] for ablation in figures}
    assert blind["random_circuit"] == blind["random_backend"] == blind["standard"] < 0.1
    assert median["random_backend", "walsh_operator"] != median["standard", "walsh_operator"]
    assert blind["random_noise"] > 1
    assert median["standard", "walsh_operator"] < median["random_circuit", "walsh_operator"] < 0

    parts = json.loads((folder.with_name("drifting_pauli_parts") / "figures.json").read_text())
    of_parts = {name: row["l1rc_median"][0] for name, row in parts["drifting_pauli"].items()}
    without = {name.removeprefix("walsh_operator without ") for name in of_parts}
    assert without == {"walsh_operator", "loss", "correction"}
    assert of_parts["walsh_operator"] == median["standard", "walsh_operator"]
    # Without losses nothing is inverted, and a tiny training can't correct as much.
    assert of_parts["walsh_operator without loss"] > of_parts["walsh_operator"] + 0.1
    assert "minus the whole" in out

    here("report", "runs=latest").succeeded()
    report = (tmp_path / "reports" / "report.html").read_text()
    assert "<h3>Parts of the networks, drifting_pauli</h3>" in report
    table = (folder / "table.md").read_text().splitlines()
    assert all(f"<td>{name}" in report for name in ("blind_mlp", "walsh_operator without loss"))
    assert table[0].split("|")[2].strip() in report
    assert "<img" not in report
    assert 'id="study_1-0-' in report
    assert 'id="study_1-1-' in report

    store = open_store(tmp_path / "mlruns")
    (parent,) = store.runs("tags.kind = 'study'")
    place = "drifting_pauli/random_noise/blind_mlp/l1rc_median"
    assert abs(parent.data.metrics[place] - blind["random_noise"]) < 1e-3
    trained = {run.info.run_id for run in store.runs("tags.kind = 'train'")}
    scored = {run.info.run_id for run in store.runs("tags.kind = 'evaluation'")}
    assert (len(trained), len(scored)) == (4, 10)
    assert "4 of 4 trainings" in out
    here(*STUDY).succeeded()
    assert {run.info.run_id for run in store.runs("tags.kind = 'train'")} == trained
    assert {run.info.run_id for run in store.runs("tags.kind = 'evaluation'")} == scored
    assert len(store.runs("tags.kind = 'study'")) == 1


def test_a_run_has_no_file_of_another(here: Command, tmp_path: Path) -> None:
    (tmp_path / "reports/ablation/of_before").mkdir(parents=True)
    (tmp_path / "reports/ablation/of_before/figure.svg").write_text("<svg></svg>")
    here(*STUDY, "ablations=[standard]", "models=[blind_mlp]").succeeded()
    store = open_store(tmp_path / "mlruns")
    (run,) = store.runs("tags.kind = 'study'")
    names = [name for name, _ in store.artifacts(run) if name.endswith(".svg")]
    assert names == ["tables/drifting_pauli/figure.svg"]
    assert "of_before" not in (tmp_path / "reports/ablation/page.md").read_text()


def test_wrong_values_are_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "models=[blind]").refused("'blind' is none of scale=small", "blind_mlp")
    here(*STUDY, "ablations=[random_bakend]").refused("ablations", "random_backend")
    here(*STUDY, '+source.other=["dataset/family=pauly"]').refused("other blind_mlp", "pauli")
    here(*STUDY, "parts.walsh_operator=[los]").refused("walsh_operator without los", "without")
    here(*STUDY, "+parts.walsh=[loss]").refused("parts: 'walsh' is none", "walsh_operator")
    here("study", "ablation", "scale=large").refused("scale", "small")
    assert list(tmp_path.iterdir()) == []
