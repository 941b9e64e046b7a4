"""Search for the best config of an architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qmend.datasets.table import load_dataset
from qmend.files import check_writable, write_text
from qmend.ray_cluster import cluster_address
from qmend.reporting.experiment import SEARCH_LINE, experiment_text, training_command
from qmend.runs.scoring import Context
from qmend.tracking.store import open_store
from qmend.training.environment import choose_accelerator
from qmend.tuning.result import SearchResult
from qmend.tuning.running import CompleteSearch, run_search
from qmend.tuning.search import Search, SearchPlan
from qmend.types import QmendError
from qmend.workflows.configs import TrainConfig, TuneCommandConfig
from qmend.workflows.generate import generate
from qmend.workflows.observer import Observer, announce_new

_REPORTS = Path("reports/tune")


@dataclass(frozen=True)
class Tuning:
    """A search with all its trials.

    Attributes:
        best_config: the experiment file of the best trial's config.
        training_command: repeats the best trial's training with that file.
    """

    search: Search
    result: SearchResult
    best_config: Path
    training_command: str


def tune(config: TuneCommandConfig, observer: Observer | None = None) -> Tuning:
    """Search for the best config of an architecture, or resume a search.

    Args:
        config: composed by ``compose("tune", ...)``.

    Raises:
        QmendError: if the search can't start, or no trial finished.
    """
    observer = observer or Observer()
    address = cluster_address(config.ray.address)
    if address == "local":  # the nodes of another cluster have their own processors
        choose_accelerator(config.trainer)  # refused before any work
    output = config.tune.output
    check_writable(_REPORTS / "any" if output is None else _best_config("", output))
    training = {key: value for key, value in config.plain().items() if key != "tune"}
    plan = SearchPlan.of(training, config.tune, TrainConfig.model_validate, address)
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    generate(config, observer)
    context = Context(store, load_dataset(config.dataset_folder))

    def write_best(search: Search, result: SearchResult) -> str:
        text = experiment_text(search, result, config.choices)
        path = _best_config(search.name, output)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
        return text

    with observer.search(config.tune.trials, config.trainer.max_epochs) as watch:
        complete: CompleteSearch = run_search(
            context,
            plan,
            write_best,
            watch,
            observer.message,
            lambda name, run_id: _is_free(_best_config(name, output), run_id, output is not None),
        )
    best_config = _best_config(complete.search.name, output)
    command = training_command(
        complete.search, complete.result, config.choices, best_config.parents[1]
    )
    return Tuning(complete.search, complete.result, best_config, command)


def _best_config(name: str, output: Path | None) -> Path:
    """Name the file of the best config of a search."""
    folder = re.sub(r"[^A-Za-z0-9_.,=+-]+", "_", name.removeprefix("tune "))
    return (output or _REPORTS / folder) / "experiment" / "best.yaml"


def _is_free(path: Path, run_id: str | None, chosen: bool) -> bool:
    """Tell whether a search may write its best config: nothing of another search is there.

    Args:
        run_id: of the search; None for a new one.
        chosen: whether the path was asked for.

    Raises:
        QmendError: if it was, and is another search's, or this one was always there.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return True
    owners = [line.removeprefix(SEARCH_LINE) for line in lines if line.startswith(SEARCH_LINE)]
    if run_id is not None and owners in ([], [run_id]):
        return True
    if chosen or run_id is not None:
        raise QmendError(
            f"{path} is of another search ({', '.join(owner[:12] for owner in owners) or 'unknown'}"
            "), which this one would overwrite; choose another tune.output, or remove that file."
        )
    return False
