"""Online simulation: batches of circuits that are simulated while the network trains."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qmend.datasets.config import DatasetConfig, dataset_recipe, recipe_configs, recipe_sha
from qmend.datasets.table import Dataset
from qmend.encodings import Batch, Encoding
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_noise
from qmend.noise.config import NoiseConfig
from qmend.processes import end_with, fork_server, process_identity, without_main_module
from qmend.training.batches import digest, draw_batches
from qmend.training.config import OnlineConfig
from qmend.types import QmendError


@dataclass(frozen=True)
class OnlineSource:
    """The circuits that a training simulates, and how often."""

    options: OnlineConfig
    circuits: OnlineCircuits

    @staticmethod
    def like(stored: Dataset, options: OnlineConfig, seed: int) -> OnlineSource:
        """Simulate circuits by the recipe of a dataset.

        Args:
            seed: of the training.

        Raises:
            QmendError: as :func:`choose_noise`, and for its own noise where the dataset was
                measured on hardware.
        """
        dataset, device = recipe_configs(stored.manifest.recipe)
        noise = choose_noise(options, dataset, seed)
        circuits = OnlineCircuits.like(stored, dataset, device, noise, seed, options.resample)
        return OnlineSource(options, circuits)

    @property
    def jobs(self) -> int:
        """Jobs of one draw, of which the last may be cut."""
        return -(-self.options.circuits // self.circuits.dataset.job_size)

    @property
    def recipe_sha(self) -> str:
        """Hash of the recipe of the circuits, that of a dataset's manifest."""
        return recipe_sha(dataset_recipe(self.circuits.dataset, self.circuits.device))

    def describe(self, epochs: int) -> dict[str, Any]:
        """Describe what a training of so many epochs has simulated, as plain values."""
        return {
            "options": self.options.model_dump(mode="json", exclude={"workers"}),
            "noise": self.circuits.noise.model_dump(mode="json"),
            "circuits": self.options.simulated(epochs),
            "recipe_sha": self.recipe_sha,
        }


def choose_noise(options: OnlineConfig, dataset: DatasetConfig, seed: int) -> NoiseConfig:
    """Build the noise that the options ask for.

    Raises:
        QmendError: as :func:`qmend.generation.online_noise.online_noise`.
    """
    return online_noise(options.noise, options.strength, dataset, seed)


class OnlineBatches:
    """Batches of new circuits every few epochs, alone or among stored ones.

    A draw follows from its number alone, whoever makes it and when: with workers, it is simulated
    and encoded while the epochs before it train, and has the same bits. The context ends the
    workers; they end by themselves if this process is killed.

    Args:
        source: of the circuits.
        encoding: already fitted, to the stored training circuits.
        with_tokens: as for :class:`qmend.encodings.Encoding`.
        stored: the stored training circuits, by number of measured bits; read only where the
            options say so.
        epochs: of the training; nothing is drawn for later ones.
        seed: of the training.

    Raises:
        QmendError: as :meth:`qmend.training.config.OnlineConfig.check`.
    """

    def __init__(
        self,
        source: OnlineSource,
        encoding: Encoding,
        with_tokens: bool,
        stored: Sequence[Batch],
        batch_size: int,
        epochs: int,
        seed: int,
    ) -> None:
        if not source.circuits.again:  # else the measured circuits decide the number
            source.options.check(source.circuits.dataset.job_size, batch_size)
        self.source, self.encoding, self.with_tokens = source, encoding, with_tokens
        self._simulate = partial(_simulate_job, source.circuits, encoding, with_tokens)
        self.stored = tuple(stored) if source.options.with_stored else ()
        self.batch_size, self.epochs, self.seed = batch_size, epochs, seed
        self._drawn: tuple[int, tuple[Batch, ...]] | None = None
        self._waiting: tuple[int, list[Future[list[Batch]]]] | None = None
        self._pool: ProcessPoolExecutor | None = None

    @property
    def rows(self) -> int:
        """Circuits an epoch."""
        return self.source.options.circuits + sum(map(len, self.stored))

    def __len__(self) -> int:
        # Each further number of measured bits may leave one more batch half full.
        sizes = {*self.source.circuits.dataset.measured_sizes, *(p.n_bits for p in self.stored)}
        return -(-self.rows // self.batch_size) + len(sizes) - 1

    @property
    def identity(self) -> str:
        circuits = self.source.circuits
        parts = [
            self.source.options.model_dump(mode="json", exclude={"workers"}),
            dataset_recipe(circuits.dataset, circuits.device),
            [c.model_dump(mode="json") for c in circuits.calibrations],
            circuits.noise.model_dump(mode="json"),
            circuits.seed,
            sorted(i for part in circuits.resampled for i in part.circuit_id.tolist()) or None,
            sorted(circuits.held_out),
            circuits.again,
            self.encoding.to_json(),
            self.with_tokens,
            "+".join(digest(part.tensors) for part in self.stored) or None,
            self.batch_size,
            self.seed,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def __enter__(self) -> OnlineBatches:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._waiting = None

    def epoch(self, number: int) -> Iterator[Batch]:
        drawn = self._draw(number // self.source.options.epochs_per_draw)
        seed = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))
        sources = [*self.stored, *drawn]
        groups = {
            bits: [batch for batch in sources if batch.n_bits == bits]
            for bits in sorted({batch.n_bits for batch in sources})
        }
        members = list(groups.values())
        rows = [sum(map(len, batches)) for batches in members]
        for group, index in draw_batches(rows, self.batch_size, len(self), generator):
            yield _select(members[group], index)

    def _draw(self, number: int) -> tuple[Batch, ...]:
        """Return the ``number``-th draw, and begin the next one."""
        if self._drawn is None or self._drawn[0] != number:
            self._drawn = None  # its memory is needed
            encoded = [batch for batches in self._parts(number) for batch in batches]
            self._drawn = number, Batch.join_each(_first(encoded, self.source.options.circuits))
            following = number + 1
            if (
                self.source.options.workers
                and following * self.source.options.epochs_per_draw < self.epochs
            ):
                self._waiting = following, self._begin(following)
        return self._drawn[1]

    def _parts(self, number: int) -> list[list[Batch]]:
        if not self.source.options.workers:
            return [self._simulate(job) for job in self._jobs(number)]
        waiting = self._waiting
        if waiting is None or waiting[0] != number:
            for future in waiting[1] if waiting else ():
                future.cancel()
            waiting = number, self._begin(number)
        self._waiting = None
        try:
            return [future.result() for future in waiting[1]]
        except BrokenProcessPool:
            raise _worker_lost() from None

    def _begin(self, number: int) -> list[Future[list[Batch]]]:
        """Hand the jobs of a draw to the workers."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.source.options.workers,
                mp_context=fork_server(__name__),
                initializer=_start_worker,
                initargs=(process_identity(), self._simulate),
            )
        try:
            with without_main_module():
                return [self._pool.submit(_simulate_in_worker, job) for job in self._jobs(number)]
        except BrokenProcessPool:
            raise _worker_lost() from None

    def _jobs(self, number: int) -> range:
        return range(number * self.source.jobs, (number + 1) * self.source.jobs)


def _first(batches: Sequence[Batch], rows: int) -> list[Batch]:
    """Select the first so many rows of batches."""
    starts = accumulate(map(len, batches), initial=0)
    return [
        batch.select(slice(rows - start))
        for batch, start in zip(batches, starts, strict=False)
        if start < rows
    ]


def _select(batches: Sequence[Batch], index: Tensor) -> Batch:
    """Select rows of batches, numbered through all of them, in the order of the batches."""
    chosen, start = [], 0
    for batch in batches:
        here = index[(index >= start) & (index < start + len(batch))] - start
        chosen.append(batch.select(here))
        start += len(batch)
    return Batch.join(chosen) if len(chosen) > 1 else chosen[0]


def _simulate_job(
    circuits: OnlineCircuits, encoding: Encoding, with_tokens: bool, job: int
) -> list[Batch]:
    """Simulate the circuits of a job, and encode them."""
    parts = circuits.job(job)
    return [encoding.of_labelled(part, with_tokens) for part in parts]


def _worker_lost() -> QmendError:
    return QmendError(
        "A process that simulates circuits was ended from outside, perhaps for want of memory; "
        "the same command resumes from the last state, with online.workers=0 without such "
        "processes."
    )


#: :func:`_simulate_job` of a worker, by the number of a job; too large to be sent with each.
_worker: Callable[[int], list[Batch]] | None = None


def _start_worker(parent: str, simulate: Callable[[int], list[Batch]]) -> None:
    global _worker
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    torch.set_num_threads(1)
    _worker = simulate


def _simulate_in_worker(job: int) -> list[Batch]:
    assert _worker is not None
    return _worker(job)
