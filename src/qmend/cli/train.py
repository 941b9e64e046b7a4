"""``qmend train``."""

from __future__ import annotations

from qmend.cli.multirun import cell_observer, current_cell
from qmend.cli.terminal import TerminalObserver, console
from qmend.metrics import interval_text
from qmend.runs.cells import Outcome
from qmend.workflows.configs import TrainConfig
from qmend.workflows.train import train


def train_network(config: TrainConfig) -> Outcome:
    """Train one network, or one cell of a multirun."""
    cell = current_cell()
    training = train(config, cell_observer() or TerminalObserver(), cell=cell)
    if training.reused or training.scored is None:
        return Outcome("reused", training.run_id)
    figures = training.scored.figures
    result = (
        f"test median L1RC {interval_text(figures['l1rc_median'])}, improved "
        f"{figures['improved_pct'].value:.1f} %, harmed {figures['harmed_pct'].value:.1f} %"
    )
    if cell is None:  # a multirun prints those of its cells
        console.print(f"  {training.name}: {result}; run {training.run_id}")
    return Outcome("finished", training.run_id, result=result)
