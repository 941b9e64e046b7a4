"""``qmend study transfer``, on a few circuits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import Command

from qmend.runs.cells import Cell
from qmend.tracking.store import open_store
from qmend.types import QmendError
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.evaluate import Evaluation, evaluate
from qmend.workflows.observer import Observer

MODEL = '["model=walsh_operator","model.channels=4","model.blocks=1","trainer=tiny"]'
STUDY = (
    "study",
    "transfer",
    'scale.data=["dataset=tiny"]',
    "~scale.models",
    f"+scale.models={{m: {MODEL}}}",
    "models=[m]",
    "~circuits",
    "+circuits={20: 1, 10000: 1}",  # the target has not as many as the last
    "data.workers=1",
)


def test_each_way_to_the_target_is_scored_there(here: Command, tmp_path: Path) -> None:
    out = here(*STUDY).succeeded().out
    assert "surrogate hardware of hanoi, not a real device" in out
    folder = tmp_path / "reports" / "transfer"
    ways = json.loads((folder / "target" / "figures.json").read_text())
    direct = ["simulated, direct", "surrogate, direct", "both, direct"]
    trained = [*direct, "fine-tuned", "sequential", "target only"]
    assert list(ways) == [*trained, "zero-shot"]
    assert set(ways["target only"]) == {"m", "path_inversion"}
    assert set(ways["zero-shot"]) == {"pretrained", "pretrained, guarded"}
    # Each is another network, and each mends something.
    medians = [ways[way]["m"]["l1rc_median"][0] for way in trained]
    assert len(set(medians)) == len(trained)
    assert max(medians) < 0
    assert ways["sequential"]["m"]["tv_change_pct"][0] < 0

    few = json.loads((folder / "circuits" / "figures.json").read_text())
    assert list(few) == ["0", "20", "210"]
    assert set(few["0"]) == {"m, sequential", "pretrained", "pretrained, guarded"}
    assert few["0"]["m, sequential"]["l1rc_median"] == ways["both, direct"]["m"]["l1rc_median"]
    assert set(few["20"]) == {"m, sequential", "m, target only", "path_inversion"}
    assert few["210"]["m, sequential"]["l1rc_median"] == ways["sequential"]["m"]["l1rc_median"]
    # A baseline is fitted to the circuits that it may see.
    assert few["20"]["path_inversion"] != few["210"]["path_inversion"]
    assert {path.name for path in (folder / "circuits").iterdir()} == {
        "figure.png",
        "figure.svg",
        "figures.json",
        "table.md",
    }

    store = open_store(tmp_path / "mlruns")
    runs = [run.data.params for run in store.runs("tags.kind = 'train'")]
    assert len(runs) == 8
    tuned = [run for run in runs if run["checkpoint"] != "None"]
    (full,) = {float(run["optimizer.lr"]) for run in runs if run not in tuned}
    (rate,) = {float(run["optimizer.lr"]) for run in tuned}
    assert rate == pytest.approx(full / 10)
    few_runs = [run for run in runs if run["train_circuits"] == "20"]
    assert [run["val_circuits"] for run in few_runs] == ["5", "5"]


def test_no_figures_of_other_data_stand_in_for_those_of_the_target(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(config: EvaluateConfig, observer: Observer, *, cell: Cell) -> Evaluation:
        if cell.name == "target":
            raise QmendError("one network has no finite output.")
        return evaluate(config, observer, cell=cell)

    monkeypatch.setattr("qmend.workflows.evaluate.evaluate", failing)
    assert here(*STUDY).code == 3
    folder = tmp_path / "reports" / "transfer"
    ways = json.loads((folder / "target" / "figures.json").read_text())
    # Their trainings are scored, on the test splits of what they were trained on.
    assert [ways[f"{way}, direct"] for way in ("simulated", "surrogate", "both")] == [{}, {}, {}]
    assert set(ways["target only"]) == {"m"}
    assert (
        "(cell=target seed=-): one network has no finite output. The"
        in (folder / "page.md").read_text()
    )


def test_wrong_values_are_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "chain=[simulated_pauli,surogate_pauli,target_pauli]").refused(
        "'surogate_pauli' is none of source", "surrogate_pauli"
    )
    here(*STUDY, "device=hanoi").refused("transfer needs another device", "target_pauli")
    here(*STUDY, "baselines=[path_inverson]").refused("target", "path_inversion")
    assert list(tmp_path.iterdir()) == []
