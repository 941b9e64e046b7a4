"""Who is the champion: the rule on synthetic scores, and promotions of real trainings."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qmend.datasets.table import Dataset, load_dataset
from qmend.evaluation.scores import Scores, score
from qmend.generation.generate import generate
from qmend.metrics import harmed_pct
from qmend.mitigation.learned import LearnedMitigator
from qmend.runs.promotion import judge, promote
from qmend.runs.scoring import Context
from qmend.runs.training import run_training
from qmend.tracking.registry import champion, registered_run, versions
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.types import QmendError
from tracked_runs import scores_of

CIRCUITS = 200


def scored(l1rc: np.ndarray, jobs: int = 40) -> Scores:
    return scores_of(l1rc, np.arange(len(l1rc)) % jobs)


def drawn(seed: int, median: float, spread: float) -> np.ndarray:
    """Scores that harm no circuit."""
    values = np.random.default_rng(seed).normal(median, spread, CIRCUITS)
    return np.minimum(values, 0.05)


def interval(ours: np.ndarray, theirs: np.ndarray, job_id: np.ndarray) -> tuple[float, float]:
    """95 % of the paired difference of medians: jobs drawn with replacement, by hand."""
    rng = np.random.default_rng(99)
    jobs = np.unique(job_id)
    found = []
    for _ in range(2000):
        chosen = np.concatenate([np.flatnonzero(job_id == j) for j in rng.choice(jobs, len(jobs))])
        found.append(np.median(ours[chosen]) - np.median(theirs[chosen]))
    return float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_the_champion_is_beaten_only_outside_the_paired_interval(seed: int, gap: float) -> None:
    theirs = drawn(seed, -0.6, 0.1)
    ours = np.minimum(
        theirs - gap + np.random.default_rng(seed + 50).normal(0, 0.1, CIRCUITS), 0.05
    )
    first, second = scored(ours), scored(theirs)
    verdict = judge(first, second)
    lo, hi = interval(ours, theirs, first.job_id)
    if abs(hi) > 0.004:  # two bootstraps of the same thing
        assert verdict.beats == (hi < 0)
    assert verdict.difference.lo == pytest.approx(lo, abs=0.01)
    assert verdict.difference.hi == pytest.approx(hi, abs=0.01)
    assert not (verdict.beats and judge(second, first).beats)


def test_pairs_tell_what_two_intervals_could_not() -> None:
    theirs = drawn(3, -0.5, 0.3)
    verdict = judge(scored(theirs - 0.01), scored(theirs))
    assert verdict.beats
    assert verdict.difference.hi == pytest.approx(-0.01)
    spread = np.ptp(interval(theirs, np.zeros(CIRCUITS), np.arange(CIRCUITS) % 40))
    assert spread > 0.02  # of either alone: more than the gap


def test_nobody_beats_itself() -> None:
    same = scored(drawn(0, -0.7, 0.2))
    assert not judge(same, same).beats


def test_more_harm_is_no_victory() -> None:
    theirs = drawn(1, -0.5, 0.1)
    ours = theirs - 0.3
    ours[7:13] = 0.06
    assert not judge(scored(ours), scored(theirs)).beats
    theirs[7:13] = 0.06
    assert judge(scored(ours), scored(theirs)).beats


@pytest.mark.parametrize(("median", "wins"), [(-0.3, True), (-0.001, False), (0.04, False)])
def test_the_first_champion_improves_on_no_mitigation(median: float, wins: bool) -> None:
    values = np.random.default_rng(5).normal(median, 0.1, CIRCUITS)
    values[:3] = np.nan  # no noisy error to undo
    assert harmed_pct(values) > 0 or median < -0.2
    verdict = judge(scored(values), None)
    assert verdict.beats == wins
    assert verdict.difference.value == pytest.approx(np.nanmedian(values))


def test_scores_of_other_circuits_are_not_compared() -> None:
    ours = scored(drawn(0, -0.7, 0.1))
    other = replace(ours, circuit_id=ours.circuit_id[::-1])
    with pytest.raises(QmendError, match="not of the same circuits"):
        judge(ours, other)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, tiny: Dataset, trainings) -> dict[str, str]:
    """A store's root, and its two trainings: better, and worse than no mitigation."""
    store = open_store(tmp_path_factory.mktemp("two") / "mlruns")
    return {
        "root": str(store.root),
        "better": trained(store, tiny, trainings["physics_perceiver"]),
        "worse": trained(store, tiny, trainings["blind_mlp"]),
    }


@pytest.fixture
def own(two: dict[str, str], tmp_path: Path) -> Store:
    """A copy with a registry of its own."""
    return open_store(Path(shutil.copytree(two["root"], tmp_path / "mlruns")))


@pytest.fixture
def better(two: dict[str, str]) -> str:
    return two["better"]


@pytest.fixture
def worse(two: dict[str, str]) -> str:
    return two["worse"]


def trained(store: Store, dataset: Dataset, training) -> str:
    config = {"seed": 0, "model": training.model.name}
    return run_training(Context(store, dataset), training.model.name, training, config).run_id


def test_the_better_one_becomes_champion_and_the_worse_one_only_by_force(
    own: Store, better: str, worse: str
) -> None:
    with pytest.raises(QmendError, match="has no models:/qmend@champion"):
        registered_run(own, "models:/qmend@champion")
    first = promote(own, worse)
    assert (first.version, first.champion, first.previous) == (1, False, None)
    assert champion(own) is None

    second = promote(own, better)
    assert (second.version, second.champion, second.forced) == (2, True, False)
    assert registered_run(own, "models:/qmend@champion") == better
    assert promote(own, better).reason == "it was already"

    third = promote(own, worse)
    assert (third.version, third.champion) == (1, False)
    forced = promote(own, worse, force=True)
    assert forced.champion
    assert forced.forced
    assert forced.previous is not None
    assert forced.previous.run_id == better
    now, before = champion(own), versions(own)[0]
    assert now is not None
    assert (now.number, now.run_id, before.aliases) == (1, worse, ())
    assert now.tags["promotion.forced"] == "true"
    assert now.tags["promotion.beats"] == "false"
    harmed, change = (
        [float(text) for text in re.findall(r"-?\d+\.\d{3}", now.tags[f"promotion.{name}"])]
        for name in ("harmed_pct", "l1rc_median")
    )
    assert harmed[1] <= harmed[0] <= harmed[2]
    assert 0 < change[1] <= change[0] <= change[2]
    assert now.tags["promotion.against"] == "2"
    assert registered_run(own, "models:/qmend/2") == better
    assert checkpoint_folder(own, "models:/qmend/2").joinpath("model.json").exists()

    back = promote(own, better, force=True)  # needs none
    assert (back.version, back.champion, back.forced) == (2, True, False)
    assert versions(own)[0].tags["promotion.forced"] == "false"


def test_one_that_simulates_is_never_champion(own: Store, better: str) -> None:
    own.client.set_tag(better, "simulates", "true")
    with pytest.raises(QmendError, match=r"simulates its circuits.*--force"):
        promote(own, better, force=True)
    assert versions(own) == []
    done = promote(own, better)
    assert (done.version, done.champion) == (1, False)
    assert champion(own) is None


def test_one_whose_simulation_was_not_measured_needs_force(own: Store, better: str) -> None:
    """As a run of an older version."""
    with closing(sqlite3.connect(own.root / "mlflow.db")) as connection, connection:
        for table in ("metrics", "latest_metrics"):
            connection.execute(f"DELETE FROM {table} WHERE key LIKE 'test/own%'")
    with pytest.raises(QmendError, match=r"was not measured.*--force"):
        promote(own, better)
    assert versions(own) == []
    done = promote(own, better, force=True)
    assert (done.champion, done.forced) == (True, True)
    assert "was not measured" in done.reason


@pytest.mark.parametrize("key", ["own_slope", "own_slope_lo", "own_gain_pct_hi"])
def test_a_figure_without_its_interval_is_not_measured(own: Store, better: str, key: str) -> None:
    own.client.log_metric(better, f"test/{key}", float("nan"))
    with pytest.raises(QmendError, match=r"was not measured.*--force"):
        promote(own, better)
    assert versions(own) == []


def test_a_run_without_a_finished_network_is_refused(own: Store, better: str) -> None:
    with (
        start_run(own, "empty", {"kind": "train"}, {}) as run,
        pytest.raises(QmendError, match="RUNNING"),
    ):
        promote(own, run.run_id)
    with pytest.raises(QmendError, match="with a model"):
        promote(own, run.run_id)
    with pytest.raises(QmendError, match="no run nonsense"):
        promote(own, "nonsense")
    own.client.delete_tag(better, "simulates")
    with pytest.raises(QmendError, match="not scored"):
        promote(own, better)
    assert versions(own) == []


@pytest.fixture(scope="module")
def elsewhere(tiny_config, device_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of other circuits."""
    folder = tmp_path_factory.mktemp("elsewhere") / "other"
    generate(tiny_config.model_copy(update={"name": "other", "seed": 8}), device_config, folder)
    return folder


def test_a_champion_of_other_data_is_scored_on_the_challenger_s(
    own: Store, better: str, trainings, elsewhere: Path, tmp_path: Path
) -> None:
    assert promote(own, better).champion
    folder = Path(shutil.copytree(elsewhere, tmp_path / "other"))
    other = load_dataset(folder)
    challenger = trained(own, other, trainings["blind_mlp"])

    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(QmendError, match=r"dataset other .* is not in .*/other or data any more"):
        promote(own, challenger)
    assert len(versions(own)) == 1
    moved.rename(folder)

    done = promote(own, challenger)
    assert not done.champion
    (run,) = own.runs("tags.kind = 'evaluation'")
    assert run.data.tags["checkpoint_run"] == better
    assert run.data.tags["dataset_sha"] == other.manifest.dataset_sha
    part = other.part("test")
    medians = []
    for run_id in (challenger, better):
        network, _ = load_checkpoint(checkpoint_folder(own, run_id))
        mitigated = LearnedMitigator(network).mitigate(part.circuits)
        medians.append(np.median(score([part], [mitigated]).l1rc))
    assert done.comparison is not None
    difference = done.comparison.difference.value
    assert difference == pytest.approx(medians[0] - medians[1], abs=1e-6)

    promote(own, challenger)
    assert len(own.runs("tags.kind = 'evaluation'")) == 1


def test_a_version_says_what_it_is_and_how_good_and_keeps_what_a_person_writes(
    own: Store, better: str, worse: str
) -> None:
    run = own.client.get_run(better).data
    number = str(promote(own, better).version)
    version = own.client.get_model_version("qmend", number)
    change = f"{run.metrics['test/l1rc_median']:.3f} [{run.metrics['test/l1rc_median_lo']:.3f}, "
    assert version.tags["L1RC"] == f"{run.metrics['test/l1rc_median']:.3f}"
    assert version.tags["harmed"] == f"{run.metrics['test/harmed_pct']:.2f} %"
    for part in (run.tags["architecture"], run.tags["dataset"], run.tags["device"], change):
        assert part in version.description
    assert "noise" in own.client.get_registered_model("qmend").description
    own.client.update_model_version("qmend", number, "ours")
    promote(own, worse, force=True)
    promote(own, better, force=True)
    assert own.client.get_model_version("qmend", number).description == "ours"


def test_force_needs_no_comparison_and_says_that_there_was_none(
    own: Store, better: str, trainings, elsewhere: Path, tmp_path: Path
) -> None:
    promote(own, better)
    folder = Path(shutil.copytree(elsewhere, tmp_path / "other"))
    challenger = trained(own, load_dataset(folder), trainings["blind_mlp"])
    shutil.rmtree(folder)
    done = promote(own, challenger, force=True)
    assert done.champion
    assert "any more" in done.reason
    now = champion(own)
    assert now is not None
    assert now.tags["promotion.beats"] == "not compared"
    assert now.tags["promotion.forced"] == "true"
