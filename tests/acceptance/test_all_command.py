"""``qmend study all`` and ``paper_tables``, on a few circuits."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

ALL = (
    "study",
    "all",
    "data.workers=1",
    'scale.data=["dataset=tiny"]',
    "~scale.models",
    '+scale.models={perceiver: ["model=blind_mlp","trainer=tiny"]}',
    "~studies",
    '+studies.ablation=["models=[perceiver]","ablations=[standard,random_noise]"]',
    "+studies.paper_tables=[]",
)


def test_studies_follow_each_other_and_end_in_the_published_numbers(
    here: Command, tmp_path: Path
) -> None:
    done = here(*ALL).succeeded()
    assert "study ablation, 10 minutes" in done.out
    folder = tmp_path / "reports" / "studies"
    page = (folder / "ablation" / "page.md").read_text()
    assert page.startswith("# Study `ablation`")
    assert "![drifting pauli figure](drifting_pauli/figure.svg)" in page
    assert "| perceiver |" in page
    # Its tables are those of the store, with the run's id.
    store = open_store(tmp_path / "mlruns")
    studies = {run.info.run_name: run for run in store.runs("tags.kind = 'study'")}
    assert set(studies) == {"study all", "study ablation", "study paper_tables"}
    own = json.loads((folder / "ablation/drifting_pauli/figures.json").read_text())
    ours = json.loads((folder / "paper_tables/figures.json").read_text())
    row = ours["Pauli, real algiers: Perceiver, random noise"]
    assert row == {"published": 0.33, "ours": own["random_noise"]["perceiver"]["l1rc_median"]}
    lines = (folder / "paper_tables/page.md").read_text().splitlines()
    (line,) = [line for line in lines if "random noise" in line]
    assert "published is better" in line
    assert studies["study ablation"].info.run_id[:8] in line
    assert any("Study architectures has not finished" in line for line in lines)

    trained = {run.info.run_id for run in store.runs("tags.kind = 'train'")}
    here(*ALL).succeeded()
    assert {run.info.run_id for run in store.runs("tags.kind = 'train'")} == trained
    assert len(store.runs("tags.kind = 'study'")) == 3


def test_one_study_that_fails_does_not_stop_the_others(here: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small_drifting_pauli_algiers").write_text("no directory")
    failed = here(*ALL)
    assert failed.code == 3
    ends = [line.split()[-1] for line in failed.out.splitlines() if "paper_tables  " in line]
    assert ends == ["failed"]  # it has run, and has nothing to show
    (sentence,) = failed.err.splitlines()
    assert sentence.count("same command") == 1
    here("study", "all", "+studies.ablation=['models=[nobody]']").refused("nobody")
    here("study", "paper_tables").refused("No study of scale=small has finished", "qmend study all")
