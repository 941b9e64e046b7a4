"""Make a dataset."""

from __future__ import annotations

from qmend.generation.generate import Generation
from qmend.generation.generate import generate as generate_dataset
from qmend.ray_cluster import cluster_address
from qmend.workflows.data_config import CommonConfig
from qmend.workflows.observer import Observer, announce_new


def generate(
    config: CommonConfig, observer: Observer | None = None, *, wait: bool = False
) -> Generation:
    """Make the dataset of a config, or finish an interrupted one, or return a complete one.

    Args:
        wait: for another process that makes it, in place of refusing; in a cell of a multirun or
            study, where data that are there are no news.

    Raises:
        QmendError: if its directory holds another dataset or a damaged one, or a label is wrong.
    """
    observer = observer or Observer()
    announce_new(observer, "Data", config.data.root)
    with observer.circuits() as progress:
        generation = generate_dataset(
            config.simulated,
            config.device,
            config.dataset_folder,
            config.data.workers,
            progress,
            config.data.replace,
            cluster_address(config.ray.address) if config.data.executor == "ray" else None,
            wait,
        )
    manifest, made = generation.manifest, generation.circuits_made
    if made or not wait:  # the cells of a study use the same data again and again
        observer.message(
            f"{config.dataset_folder}: {f'made {made:,} circuits' if made else 'reused'}; "
            f"{manifest.rows:,} rows in {len(manifest.shards)} shards, hash {manifest.dataset_sha}"
        )
    return generation
