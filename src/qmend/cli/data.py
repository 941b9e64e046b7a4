"""``qmend data generate`` and ``qmend data verify``."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig

from qmend.cli.lock import report_lock
from qmend.cli.terminal import TerminalObserver, console
from qmend.datasets.manifest import read_manifest
from qmend.generation.verify import verify_dataset
from qmend.importing.verify import verify_imported
from qmend.workflows.configs import GenerateConfig, VerifyConfig
from qmend.workflows.generate import generate


def generate_data(config: GenerateConfig) -> None:
    """Make a dataset."""
    made = generate(config, TerminalObserver())
    report_lock(made.folder, ["data", "generate", *HydraConfig.get().overrides.task])


def verify_data(config: VerifyConfig) -> None:
    """Prove a dataset; its directory may be the first argument."""
    folder = config.folder or config.dataset_folder
    if read_manifest(folder).origin == "imported":
        imported = verify_imported(folder)
        by = "job or circuit" if imported.by == "job" else "circuit"
        console.print(
            f"{folder}: files match their hashes; {imported.rows:,} labels proven, "
            f"within {imported.difference:.1g}; counts add up; no {by} in two splits."
        )
        return
    checks = verify_dataset(folder, config.sample)
    aer = checks.difference_to_aer
    to_aer = "" if aer is None else f", and within {aer:.1g} of Aer's"
    console.print(
        f"{folder}: files match their hashes; {checks.rows:,} labels proven; "
        f"{checks.simulated} noisy distributions simulated again, within {checks.difference:.1g}"
        f"{to_aer}; "
        f"counts fit them (chi-square p = {checks.p_value:.2g}); no job or circuit in two splits."
    )
