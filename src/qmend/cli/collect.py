"""``qmend data collect``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from qmend.cli.terminal import TerminalObserver, console
from qmend.hardware.collector import collect
from qmend.hardware.plan import JOB_OVERHEAD, CollectionPlan, plan
from qmend.workflows.configs import CollectConfig
from qmend.workflows.observer import announce_new


def collect_data(config: CollectConfig) -> None:
    """Collect a dataset on hardware."""
    folder = config.dataset_folder
    if config.collect.dry_run:
        planned = plan(config.simulated, config.device, folder, config.collect)
        for line in _plan_lines(planned, config.device.name):
            console.print(f"  {line}")
        return
    observer = TerminalObserver()
    announce_new(observer, "Data", config.data.root)
    with observer.circuits() as progress:
        done = collect(
            config.simulated, config.device, folder, config.collect, progress, config.data.replace
        )
    manifest = done.manifest
    part = f" (without {done.left_out} jobs)" if done.left_out else ""
    console.print(
        f"  {folder}: submitted {done.submitted} and fetched {done.fetched} jobs; "
        f"{manifest.rows:,} rows in {len(manifest.shards)} shards{part}, hash "
        f"{manifest.dataset_sha}",
        soft_wrap=True,
    )
    console.print("  These data can't be made again. Keep them as a frozen stage of DVC:")
    overrides = HydraConfig.get().overrides.task
    for line in _stage_lines(folder, ["qmend", "data", "collect", *overrides]):
        console.print(f"    {line}", soft_wrap=True)


def _stage_lines(folder: Path, command: Sequence[str]) -> list[str]:
    """List the commands that record a collection in ``dvc.yaml`` and ``dvc.lock``."""
    name = f"collected_{folder.name}"
    add = ["dvc", "stage", "add", "--force", "--name", name, "--outs-persist", str(folder)]
    return [
        shlex.join([*add, shlex.join(command)]),
        f"dvc freeze {name}",
        f"dvc commit --force {name}",
    ]


def _plan_lines(planned: CollectionPlan, device: str) -> list[str]:
    return [
        f"{planned.jobs} jobs of {planned.circuits:,} circuits, {planned.shots:,} shots each, "
        f"would be submitted to {device}; {planned.there} jobs are already there or submitted",
        f"the first {planned.sampled} circuits: depth {planned.depth[0]:.0f} (median) to "
        f"{planned.depth[1]:.0f}, two-qubit gates {planned.two_qubit[0]:.0f} to "
        f"{planned.two_qubit[1]:.0f}",
        f"about {planned.seconds:,.0f} s on the processor, estimated: shots x (schedule by the "
        f"calibration's gate lengths + readout + {planned.rep_delay * 1e6:.0f} us between shots) + "
        f"{JOB_OVERHEAD:.0f} s a job",
        "nothing was submitted",
    ]
