"""Search for the best config of an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qmend.datasets.table import load_dataset
from qmend.files import check_writable
from qmend.ray_cluster import cluster_address
from qmend.reporting.experiment import experiment_text, training_command
from qmend.runs.scoring import Context
from qmend.tracking.store import open_store
from qmend.training.environment import choose_accelerator
from qmend.tuning.result import SearchResult
from qmend.tuning.running import CompleteSearch, run_search
from qmend.tuning.search import Search, SearchPlan
from qmend.workflows.configs import TrainConfig, TuneCommandConfig
from qmend.workflows.generate import generate
from qmend.workflows.observer import Observer, announce_new


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
    default = Path("reports/tune") / f"{config.model.name}_{config.dataset_folder.name}"
    best_config = (config.tune.output or default) / "experiment" / "best.yaml"
    check_writable(best_config)
    training = {key: value for key, value in config.plain().items() if key != "tune"}
    plan = SearchPlan.of(training, config.tune, TrainConfig.model_validate, address)
    announce_new(observer, "Runs", config.tracking.root)
    store = open_store(config.tracking.root)
    generate(config, observer)
    context = Context(store, load_dataset(config.dataset_folder))

    def write_best(search: Search, result: SearchResult) -> str:
        text = experiment_text(search, result, config.choices)
        best_config.parent.mkdir(parents=True, exist_ok=True)
        best_config.write_text(text)
        return text

    with observer.search(config.tune.trials, config.trainer.max_epochs) as watch:
        complete: CompleteSearch = run_search(context, plan, write_best, watch, observer.message)
    command = training_command(
        complete.search, complete.result, config.choices, best_config.parents[1]
    )
    return Tuning(complete.search, complete.result, best_config, command)
