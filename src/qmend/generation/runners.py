"""Runners of a generation's jobs: this process, other processes, a Ray cluster.

A runner takes tasks and yields (job, rows) in any order. It holds only a few results at a
time: memory does not grow with the number of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from qmend.generation.job import JobTask, make_job
from qmend.processes import end_with, fork_server, process_identity, without_main_module
from qmend.ray_cluster import ray_cluster

Runner = Callable[[list[JobTask]], Iterator[tuple[int, pa.Table]]]

#: Tasks handed out ahead for each worker.
_AHEAD = 2
_OBJECT_STORE_BYTES = 200 * 2**20


@contextmanager
def start_runner(workers: int, ray_address: str | None = None) -> Iterator[Runner]:
    """Start a runner: this process, ``workers`` others, or a Ray cluster.

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
    pool = ProcessPoolExecutor(
        workers,
        mp_context=fork_server("qmend.generation.job"),
        initializer=end_with,
        initargs=(process_identity(),),
    )

    with without_main_module():
        try:
            yield lambda tasks: _run_ahead(
                tasks,
                _AHEAD * workers,
                submit=lambda task: pool.submit(make_job, task),
                finished=lambda pending: wait(pending, return_when=FIRST_COMPLETED).done,
                result=lambda future: future.result(),
            )
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ray(address: str) -> Iterator[Runner]:
    """Run one task a processor on a Ray cluster, which is ended or handed back afterwards."""
    way_out = "check ray.address and RAY_ADDRESS, or use data.executor=local"
    with ray_cluster(address, way_out, object_store_memory=_OBJECT_STORE_BYTES):
        import ray

        remote = ray.remote(num_cpus=1, max_retries=3)(make_job)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield lambda tasks: _run_ahead(
            tasks,
            _AHEAD * max(1, int(resources.get("CPU", 1))),
            submit=remote.remote,
            finished=lambda pending: ray.wait(list(pending), num_returns=1)[0],
            result=ray.get,
        )


def _run_ahead(
    tasks: list[JobTask],
    ahead: int,
    submit: Callable[[JobTask], Any],
    finished: Callable[[dict[Any, int]], Iterable[Any]],
    result: Callable[[Any], pa.Table],
) -> Iterator[tuple[int, pa.Table]]:
    """Yield (job, rows) as they come, with at most ``ahead`` tasks submitted.

    Args:
        submit: task -> handle.
        finished: waits for one or more of the handles, and returns them.
        result: handle -> rows.
    """
    waiting = iter(tasks)
    pending: dict[Any, int] = {}
    while True:
        for task in waiting:
            pending[submit(task)] = task.job
            if len(pending) >= ahead:
                break
        if not pending:
            return
        for handle in finished(pending):
            yield pending.pop(handle), result(handle)
