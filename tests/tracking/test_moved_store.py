"""A store lies wherever its directory lies: moved, copied, beside its original."""

import shutil
from pathlib import Path

import pytest

from qmend.processes import process_identity
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.promotion import promote
from qmend.runs.reading import ScoredRun, read_scored
from qmend.tracking.directory import database_uri
from qmend.tracking.finding import all_runs, find_run
from qmend.tracking.interrupts import SteadyClient
from qmend.tracking.owner import ALIVE_TAG, PROCESS_TAG, sign_of_life
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, artifact_folder, open_store
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.types import QmendError


def trained(board: Leaderboard) -> ScoredRun:
    return next(run for run in board.runs if run.name == "blind_mlp")


@pytest.fixture
def original(store: Store, board: Leaderboard, tmp_path: Path) -> Store:
    """A store with scored runs and a champion."""
    root = Path(shutil.copytree(store.root, tmp_path / "first" / "mlruns"))
    opened = open_store(root)
    promote(opened, trained(board).run_id, force=True)
    return opened


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_copy_is_a_store_of_its_own(original, tmp_path):
    before = files(original.root / "artifacts")
    copy = open_store(Path(shutil.copytree(original.root, tmp_path / "copy")))
    with start_run(copy, "in the copy", {"kind": "train"}, {"seed": 1}) as run:
        run.text("here", "note.txt")
    logged = copy.client.get_run(run.run_id)
    assert copy.artifact(logged, "note.txt").read_text() == "here"
    assert (copy.root / "artifacts" / run.run_id / "artifacts" / "note.txt").exists()
    # A run that both have: the copy's files change, the original's don't.
    shared = next(run for run in all_runs(copy) if run.data.tags.get("kind") == "demo")
    copy.client.log_text(shared.info.run_id, "later", "later.txt")
    assert copy.artifact(shared, "later.txt").read_text() == "later"
    assert files(original.root / "artifacts") == before
    runs = all_runs(open_store(original.root))
    assert all(artifact_folder(each).is_relative_to(original.root) for each in runs)
    assert run.run_id not in {each.info.run_id for each in runs}


def test_a_moved_store_has_its_runs_scores_and_champion(original, board, tmp_path):
    place = tmp_path / "elsewhere" / "with space"
    place.parent.mkdir()
    shutil.move(original.root, place)
    moved = open_store(place)
    assert not original.root.exists()
    folder = checkpoint_folder(moved, "models:/qmend@champion")
    assert folder.is_relative_to(place)
    load_checkpoint(folder)
    version = moved.client.get_model_version_by_alias("qmend", "champion")
    assert version.source == str(folder)
    entry = trained(board)
    scored = read_scored(moved, find_run(all_runs(moved), entry.run_id))
    assert scored.median == entry.median
    assert not original.root.exists()


def test_a_store_that_has_not_moved_is_left_alone(original):
    before = (original.root / "mlflow.db").read_bytes()
    open_store(original.root)
    assert (original.root / "mlflow.db").read_bytes() == before


def test_a_store_that_others_use_by_another_path_is_refused(original, tmp_path):
    """A container's mount, another computer's: each would bend the other's addresses."""
    run = original.client.create_run(original.experiment_id, tags={"kind": "train"}).info.run_id
    host, pid, started = process_identity().rsplit(":", 2)
    original.client.set_tag(run, PROCESS_TAG, f"{host}-other:{pid}:{started}")
    original.client.set_tag(run, ALIVE_TAG, sign_of_life())
    place = tmp_path / "mounted"
    shutil.move(original.root, place)
    before = (place / "mlflow.db").read_bytes()
    with pytest.raises(QmendError, match="A run that goes on"):
        open_store(place)
    assert (place / "mlflow.db").read_bytes() == before
    # Silent for ten minutes: nobody works there any more.
    SteadyClient(database_uri(place)).set_tag(run, ALIVE_TAG, "0")
    assert open_store(place).client.get_run(run).info.status == "KILLED"
