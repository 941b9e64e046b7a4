"""``qmend study known_noise``."""

from __future__ import annotations

from qmend.cli.architectures import composed_config, training_cell
from qmend.cli.terminal import TerminalObserver, console
from qmend.config.errors import validate
from qmend.datasets.table import load_dataset
from qmend.evaluation.scores import reference
from qmend.reporting.html import check_writable
from qmend.reporting.leaderboard import leaderboard_table
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Context, dataset_tags
from qmend.studies.architectures import run_cell, shortened
from qmend.studies.known_noise import KnownNoise, check_network, known_noise, run_knowing
from qmend.tracking.run import start_run
from qmend.tracking.store import open_store
from qmend.workflows.configs import KnownNoiseStudyConfig, TrainConfig
from qmend.workflows.generate import generate


def study_known_noise(config: KnownNoiseStudyConfig) -> None:
    """What a network could reach that knows the noise of every job exactly."""
    composed = composed_config("train", config.network)
    training = validate(TrainConfig, composed)
    check_network(training.model)
    plain = config.plain()
    check_writable(config.output / "table.md")
    store = open_store(config.tracking.root)
    generate(config, TerminalObserver())
    dataset = shortened(load_dataset(config.dataset_folder), config.train_circuits)
    name = f"study known_noise on {dataset.folder.name}"
    with start_run(store, name, {"kind": "study", **dataset_tags(dataset)}, plain) as parent:
        context = Context(store, dataset, parent=parent.run_id)
        cell = training_cell(training.model.name, training, composed, plain, config.train_circuits)
        rows = [run_cell(context, cell, config.seeds, TerminalObserver().training)]

        def known() -> KnownNoise:
            with TerminalObserver().circuits("error maps") as progress:
                return known_noise(dataset, progress)

        rows.append(run_knowing(context, cell, known, config.seeds, TerminalObserver().training))
        board = Leaderboard(tuple(rows), reference(context.scored))
        config.output.mkdir(parents=True, exist_ok=True)
        table = leaderboard_table(board).markdown()
        (config.output / f"{dataset.folder.name}.md").write_text(table)
        parent.text(table, f"tables/{dataset.folder.name}.md")
        console.print(leaderboard_table(board, title=name).terminal())
    console.print(f"  Tables: {config.output}")
    console.print(f"  Run {parent.run_id}")
