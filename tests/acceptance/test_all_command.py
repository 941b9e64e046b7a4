"""``qmend study all`` and ``paper_tables``, on a few circuits."""

from __future__ import annotations

import json
import re
from pathlib import Path

from commandline import Command

from qmend.studies import compose_study
from qmend.studies.findings import Finding, TrackedStudies, write_findings
from qmend.tracking.store import open_store

ALL = (
    "study",
    "all",
    "data.workers=1",
    'scale.data=["dataset=tiny"]',
    "~scale.models",
    '+scale.models={perceiver: ["model=blind_mlp","trainer=tiny"]}',
    "~studies",
    '+studies.ablation=["models=[perceiver]","ablations=[standard,random_noise]","~parts","+parts={}"]',
    "+studies.paper_tables=[]",
)


def test_studies_follow_each_other_and_end_in_the_published_numbers(
    here: Command, tmp_path: Path
) -> None:
    done = here(*ALL).succeeded()
    assert "study ablation, 14 minutes" in done.out
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
    assert "| worse |" in line
    assert studies["study ablation"].info.run_id[:8] in line
    assert any("Study architectures has not finished" in line for line in lines)

    place = {"study": "ablation", "figures": "drifting_pauli"}
    figures = {"own": {**place, "figure": ["random_noise", "perceiver", "l1rc_median"]}}
    plot = ["ablation", "drifting_pauli/figure.svg"]
    finding = Finding.model_validate(
        {"question": "Why?", "answer": "{own} {own_range}", "figures": figures, "plot": plot}
    )
    other = finding.model_copy(update={"plot": ("labels", "figure.svg")})
    tracked = TrackedStudies(store, compose_study("paper_tables").scale, ["ablation", "labels"])
    text = write_findings([other, finding], tracked, tmp_path)
    value, lo, hi = row["ours"]
    assert text.startswith(f"1. **Why?** {value:.3f} [{lo:.3f}, {hi:.3f}]")
    assert "(findings/1.svg)" in text
    drawn = (folder / "ablation/drifting_pauli/figure.svg").read_text()
    assert (tmp_path / "findings/1.svg").read_text() == drawn
    here("report", f"runs=parent={studies['study all'].info.run_id}").succeeded()
    page = (tmp_path / "reports" / "report.html").read_text()
    assert sorted(re.findall(r'<h2 id="study\d">(.*)</h2>', page)) == sorted(studies)

    # A later study with other settings does not take the place of one that has the config's.
    assert tracked.changed == ["ablation"]
    assert (
        "Study ablation was run with other settings"
        in (folder / "paper_tables/page.md").read_text()
    )

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
    page = (tmp_path / "reports/studies/ablation/page.md").read_text()
    assert "\n**" in page
    assert "failed" in page  # a table with holes does not look whole
    (sentence,) = failed.err.splitlines()
    assert sentence.count("same command") == 1
    here("study", "all", "+studies.ablation=['models=[nobody]']").refused("nobody")
    here("study", "paper_tables").refused("No study of scale=small has finished", "qmend study all")
