"""``qmend study architectures``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from qmend.cli.terminal import TerminalObserver, console
from qmend.config.compose import compose_config
from qmend.config.errors import validate
from qmend.datasets.config import ImportedDatasetConfig
from qmend.datasets.table import load_dataset
from qmend.evaluation.scores import reference
from qmend.reporting.html import check_writable
from qmend.reporting.leaderboard import leaderboard_table
from qmend.runs.configurations import Configuration
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.networks import LoadedNetwork, readable_rows
from qmend.runs.scoring import Context, dataset_tags
from qmend.studies.architectures import (
    Cell,
    run_average,
    run_baselines,
    run_cell,
    run_elsewhere,
    shortened,
)
from qmend.tracking.run import Run, start_run
from qmend.tracking.store import Store, open_store
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.training.online import chosen_noise
from qmend.workflows.configs import ArchitecturesStudyConfig, EvaluateConfig, TrainConfig
from qmend.workflows.generate import generate


def study_architectures(config: ArchitecturesStudyConfig) -> None:
    """Compare everything that can be trained or fitted on one dataset."""
    check_writable(config.output / "table.md")
    plain = config.plain()
    composed = {
        name: composed_config("train", words)
        for name, words in {**config.cells, **config.whole}.items()
    }
    asked_for = {name: validate(TrainConfig, each) for name, each in composed.items()}
    for each in asked_for.values():
        if each.online is not None:
            each.online.check(config.simulated.job_size, each.trainer.batch_size)
            chosen_noise(each.online, config.simulated, 0)
    others = {name: composed_config("evaluate", words) for name, words in config.elsewhere.items()}
    targets = {name: validate(EvaluateConfig, other) for name, other in others.items()}
    store = open_store(config.tracking.root)
    generate(config, TerminalObserver())
    dataset = load_dataset(config.dataset_folder)
    short = shortened(dataset, config.train_circuits)
    name = f"study architectures on {dataset.folder.name}"
    tags = {"kind": "study", **dataset_tags(dataset)}
    with start_run(store, name, tags, plain) as parent:
        context = Context(store, dataset, parent=parent.run_id)
        names = None if config.baselines == "all" else config.baselines
        asked = {key: plain[key] for key in ("device", "dataset")}
        rows: list[Configuration] = []
        noise = reference(context.scored)

        def board() -> Leaderboard:
            return Leaderboard(tuple(rows), noise)

        def keep(row: Configuration) -> Configuration:
            rows.append(row)
            console.print(f"  {row.name}: {row.figures['l1rc_median'].value:.3f}")
            _write(config, parent, dataset.folder.name, board())
            return row

        carried: list[Configuration] = []
        cells = {
            name: training_cell(
                name,
                asked_for[name],
                composed[name],
                plain,
                config.train_circuits if name in config.cells else None,
            )
            for name in composed
        }
        for cell in (cells[name] for name in config.whole):
            row = keep(run_cell(context, cell, config.seeds, TerminalObserver().training))
            if cell.name in config.carried:
                carried.append(row)
                if len(row.run_ids) > 1:
                    keep(run_average(context, row, asked))
        for row in run_baselines(context, names, asked):
            keep(row)
        for other, target in targets.items():
            _elsewhere(config, store, parent, other, target, carried)
        part = Context(store, short, parent=parent.run_id)
        for cell in (cells[name] for name in config.cells):
            keep(run_cell(part, cell, config.seeds, TerminalObserver().training))
        console.print(leaderboard_table(board(), title=name).terminal())
    console.print(f"  Tables: {config.output}")
    console.print(f"  Run {parent.run_id}")


def _elsewhere(
    config: ArchitecturesStudyConfig,
    store: Store,
    parent: Run,
    name: str,
    target: EvaluateConfig,
    carried: list[Configuration],
) -> None:
    """The carried networks beside baselines that were fitted to the other data themselves."""
    models: dict[str, LoadedNetwork] = {}
    for row in carried:
        model, source = load_checkpoint(checkpoint_folder(store, row.run_ids[0]))
        models[row.name] = LoadedNetwork(model, source, row.name)
    if isinstance(target.dataset, ImportedDatasetConfig):
        size = target.n_qubits or 0
        models = {k: m for k, m in models.items() if not size or m.model.mitigates(size)}
        if not models:
            console.print(f"  {name}: none of the carried networks takes {size} qubits")
            return
        dataset, notes = readable_rows(
            target.dataset_folder, list(models.values()), target.n_qubits
        )
    else:
        generate(target, TerminalObserver())
        dataset, notes = load_dataset(target.dataset_folder), []
    context = Context(store, dataset, parent=parent.run_id)
    asked = {"elsewhere": name}
    names = None if target.baselines == "all" else target.baselines
    rows = list(run_baselines(context, names, asked))
    rows += [run_elsewhere(context, row, asked) for row in carried if row.name in models]
    board = Leaderboard(tuple(rows), reference(context.scored))
    _write(config, parent, name, board)
    console.print(leaderboard_table(board, title=f"elsewhere: {name}").terminal())
    for line in notes:
        console.print(f"  {line}")


def _write(config: ArchitecturesStudyConfig, parent: Run, name: str, board: Leaderboard) -> None:
    table = leaderboard_table(board).markdown()
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / f"{name}.md").write_text(table)
    records = [configuration.record for configuration in board.configurations]
    (config.output / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n")
    parent.text(table, f"tables/{name}.md")


def training_cell(
    name: str,
    training: TrainConfig,
    composed: DictConfig,
    plain: Mapping[str, Any],
    train_circuits: int | None,
) -> Cell:
    """What a study trains, by a composed config of ``qmend train`` and the study's own data."""
    own = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(own, dict)
    kept = {key: own[key] for key in ("model", "loss", "optimizer", "trainer")}
    kept |= {key: plain[key] for key in ("device", "dataset")}
    kept["train_circuits"] = train_circuits
    if training.online is not None:
        kept["online"] = own["online"]
    return Cell(name, training, kept)


def composed_config(root: str, words: str) -> DictConfig:
    """Another command's config, composed inside this one's Hydra application."""
    composed = compose_config(root, words.split())
    OmegaConf.set_struct(composed, False)
    for key in OmegaConf.missing_keys(composed):
        OmegaConf.update(composed, key, ["none"] if key == "checkpoint" else "none")
    return composed
