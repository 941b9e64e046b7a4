"""Where the jobs of a generation run: here, in other processes, or on a Ray cluster.

A runner takes tasks and yields (job, rows) in any order. It holds only a few results at a
time: memory does not grow with the number of jobs.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from qmend.generation.job import JobTask, make_job
from qmend.processes import end_with, process_identity, without_main_module
from qmend.ray_cluster import ray_cluster

Runner = Callable[[list[JobTask]], Iterator[tuple[int, pa.Table]]]

#: Tasks handed out ahead for each worker.
_AHEAD = 2
_OBJECT_STORE_BYTES = 200 * 2**20


@contextmanager
def start_runner(workers: int, ray_address: str | None = None) -> Iterator[Runner]:
    """A runner in this process, in ``workers`` others, or on a Ray cluster.

    Raises:
        QmendError: if the cluster can't be reached.
    """
    if ray_address is not None:
        with _ray(ray_address) as run:
            yield run
    elif workers <= 1:
        yield lambda tasks: ((t.job, make_job(t)) for t in tasks)
    else:
        with _processes(workers) as run:
            yield run


@contextmanager
def _processes(workers: int) -> Iterator[Runner]:
    # Workers fork from one server that has imported everything and started no threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["qmend.generation.job"])
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=end_with, initargs=(process_identity(),)
    )

    def run(tasks: list[JobTask]) -> Iterator[tuple[int, pa.Table]]:
        waiting = iter(tasks)
        pending: dict[Future[pa.Table], int] = {}
        while True:
            for task in waiting:
                pending[pool.submit(make_job, task)] = task.job
                if len(pending) >= _AHEAD * workers:
                    break
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future), future.result()

    with without_main_module():
        try:
            yield run
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ray(address: str) -> Iterator[Runner]:
    """The same on a Ray cluster: one task a processor, ended or handed back afterwards."""
    way_out = "check ray.address and RAY_ADDRESS, or use data.executor=local"
    with ray_cluster(address, way_out, object_store_memory=_OBJECT_STORE_BYTES):
        yield _on_ray


def _on_ray(tasks: list[JobTask]) -> Iterator[tuple[int, pa.Table]]:
    import ray

    remote = ray.remote(num_cpus=1, max_retries=3)(make_job)

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    ahead = _AHEAD * max(1, int(resources.get("CPU", 1)))
    waiting = iter(tasks)
    pending: dict[Any, int] = {}
    while True:
        for task in waiting:
            pending[remote.remote(task)] = task.job
            if len(pending) >= ahead:
                break
        if not pending:
            return
        ready, _ = ray.wait(list(pending), num_returns=1)
        for reference in ready:
            yield pending.pop(reference), ray.get(reference)
