"""The same bytes from a Ray cluster of two nodes as from this process."""

from __future__ import annotations

import pytest
from joblib import Parallel, delayed

from qmend.generation.generate import generate
from qmend.types import QmendError
from reference import hashes


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)
def test_two_ray_nodes_make_the_same_bytes(
    tiny_config, tiny_folder, device_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    memory = 100 * 2**20
    head = {"num_cpus": 1, "object_store_memory": memory, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=memory)
        folder = tmp_path / "ray"
        made = generate(tiny_config, device_config, folder, ray_address=cluster.address)
    finally:
        cluster.shutdown()
    assert made.circuits_made == tiny_config.circuits
    assert hashes(folder) == hashes(tiny_folder)


def test_a_cell_of_a_joblib_multirun_makes_its_data_by_several_processes(
    tiny_config, tiny_folder, device_config, tmp_path
):
    """Its own processes start in a way of their own, which those below it must know."""
    work = delayed(generate)(tiny_config, device_config, tmp_path / "cell", workers=2)
    (made,) = Parallel(n_jobs=2)([work])
    assert made.circuits_made == tiny_config.circuits
    assert hashes(tmp_path / "cell") == hashes(tiny_folder)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:99999"])
def test_no_cluster_is_one_sentence_at_once(tiny_config, device_config, tmp_path, address):
    with pytest.raises(QmendError, match=f"No Ray cluster answers at {address}"):
        generate(tiny_config, device_config, tmp_path / "x", ray_address=address)
