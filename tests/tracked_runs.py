"""Runs in a real store, made without a training: scored ones, and a search with a known answer."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend.evaluation.scores import FIGURES, Scores, summarise
from qmend.metrics import Bootstrap
from qmend.runs.reading import ScoredRun
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store

JOBS, SIZE = 24, 5


def blank_store(like: Store, root: Path) -> Store:
    """A store without runs: another one's migrated database, emptied, which saves the migration."""
    root.mkdir(parents=True)
    shutil.copy(like.root / "mlflow.db", root / "mlflow.db")
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        for table in ("tags", "params", "metrics", "latest_metrics", "inputs", "input_tags"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM runs")
        connection.execute(
            "UPDATE experiments SET artifact_location = ?", (str(root / "artifacts"),)
        )
    return open_store(root)


def job_ids(jobs: int = JOBS) -> np.ndarray:
    return np.repeat([f"job-{k:03d}" for k in range(jobs)], SIZE)


def circuit_ids(count: int, first: int = 0) -> np.ndarray:
    return np.array([f"{first + k:06x}" for k in range(count)])


def made_up_scores(mean: float, seed: int, count: int = JOBS * SIZE) -> Scores:
    """L1RC around ``mean`` that all mitigators share a part of, as circuits do."""
    shared = np.random.default_rng(99).normal(0, 0.2, count)
    own = np.random.default_rng(seed).normal(0, 0.05, count)
    scores = scores_of(np.abs(shared), job_ids(count // SIZE))
    return replace(scores, l1rc=mean + shared + own)


def scores_of(figure: np.ndarray, jobs: np.ndarray | None = None) -> Scores:
    """Scores whose figures are all the same; without jobs, each circuit is one of its own."""
    figure = np.asarray(figure, dtype=float)
    ids = circuit_ids(len(figure))
    return Scores(ids, ids if jobs is None else jobs, *[figure] * len(FIGURES))


def unstored_run(
    name: str,
    scores: Scores,
    kind: str = "train",
    validation: tuple[float, ...] = (),
    simulates: bool = False,
    **costs: float,
) -> ScoredRun:
    """A run as a scoring returns it, without a store."""
    summary = summarise(scores, Bootstrap.over(scores.job_id, replicates=40))
    known = {"parameters": 0.0, "seconds": 0.0, "shots_factor": 1.0, **costs}
    return ScoredRun(
        name,
        run_id=f"id of {name}",
        tags={"kind": kind, "simulates": str(simulates).lower(), "bootstrap_unit": summary.unit},
        params={},
        metrics={**summary.metrics(), **{f"cost/{key}": value for key, value in known.items()}},
        started=0,
        split="test",
        scores=scores,
        history={"val/l1rc_median": validation} if validation else {},
    )


def scored_run(
    store: Store,
    name: str,
    scores: Scores,
    *,
    kind: str = "train",
    seed: int | str = 0,
    config: Mapping[str, Any] | None = None,
    circuits: np.ndarray | None = None,
    parent: str | None = None,
    simulates: bool = False,
    validation: list[float] | None = None,
    **tags: str,
) -> str:
    """A finished run as the run contract has it; its id."""
    if circuits is not None:
        scores = replace(scores, circuit_id=circuits)
    told = {
        "kind": kind,
        "dataset": "made_up",
        "dataset_sha": "0123456789abcdef",
        "architecture": name.split()[0],
        "seed": str(seed),
        "simulates": str(simulates).lower(),
        **tags,
    }
    given = {"seed": seed, **(config or {})}
    with start_run(store, name, told, given, parent) as run:
        summary = summarise(scores, Bootstrap.over(scores.job_id, replicates=40))
        run.metrics(summary.metrics())
        run.metrics(
            {
                "cost/seconds": 1.5,
                "cost/parameters": 1234.0,
                "cost/shots_factor": 1.0,
            }
        )
        for epoch, value in enumerate(validation or []):
            loss = {"train/loss": 1 / (epoch + 1), "val/loss": 1.1 / (epoch + 1)}
            run.metrics({"val/l1rc_median": value, **loss}, epoch)
        with run.artifact_folder("scores") as folder:
            pq.write_table(pa.table(vars(scores)), folder / "test.parquet")
    return run.run_id


#: Key -> what it is drawn from; the depth has a meaning beside one model only.
SPACE: dict[str, dict[str, Any]] = {
    "optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "model.width": {"type": "int", "low": 8, "high": 64},
    "model.name": {"type": "categorical", "choices": ["perceiver", "mlp"]},
    "model.depth": {
        "type": "int",
        "low": 1,
        "high": 4,
        "condition": {"model.name": "perceiver"},
    },
    "trainer.batch_size": {"type": "categorical", "choices": [32, 64, 128]},
    "loss": {"type": "categorical", "choices": ["l1", "kl"]},
}


def objective(lr: float, depth: int | None) -> float:
    """Decided by the learning rate, then by the depth where there is one; by nothing else."""
    return -0.7 + 0.15 * (math.log10(lr) + 2.5) ** 2 + (0 if depth is None else 0.08 * (2 - depth))


@cache
def search(store: Store, trials: int = 24, prune_above: float = math.inf) -> str:
    """A search as ``qmend tune`` leaves it; the id of its parent run."""
    rng = np.random.default_rng(3)
    tags = {"kind": "tune", "objective": "val/l1rc_median", "direction": "minimize"}
    with start_run(store, "tune made_up", tags, {"tune": {"trials": trials}}) as parent:
        parent.text(json.dumps(SPACE), "search_space.json")
        for number in range(trials):
            lr, width = 10 ** rng.uniform(-4, -1), int(rng.integers(8, 65))
            name = ["perceiver", "mlp"][number % 2]
            depth, batch = int(rng.integers(1, 5)), int(rng.choice([32, 64, 128]))
            value = objective(lr, depth if name == "perceiver" else None)
            config: dict[str, Any] = {
                "optimizer": {"lr": lr},
                "model": {"width": width, "name": name, "depth": depth},
                "trainer": {"batch_size": batch},
                "loss": {"name": ["l1", "kl"][number // 2 % 2]},
                "seed": 0,
            }
            outcome = "pruned" if value > prune_above else "finished"
            told = {"kind": "trial", "trial": str(number), "outcome": outcome}
            with start_run(store, f"trial {number}", told, config, parent.run_id) as run:
                run.metrics({"tune/best": value})
                for epoch in range(2):
                    run.metrics({"train/loss": 1 / (epoch + 1), "val/l1rc_median": value}, epoch)
            if outcome == "pruned":
                store.client.set_terminated(run.run_id, "KILLED")
    return parent.run_id
