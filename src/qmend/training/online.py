"""Training batches of circuits that are simulated while the network trains."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from qmend.datasets.config import DatasetConfig, dataset_recipe
from qmend.datasets.table import Dataset
from qmend.devices.device import DeviceConfig
from qmend.encodings import Encoding
from qmend.encodings.tensors import Batch, labelled_tensors
from qmend.generation.online import FreshCircuits, fresh_noise
from qmend.noise.config import NoiseConfig
from qmend.processes import end_with
from qmend.training.batches import tensors_digest
from qmend.training.config import FreshConfig
from qmend.types import AnyArray, QmendError


@dataclass(frozen=True)
class Fresh:
    """What a training needs to draw its own circuits."""

    options: FreshConfig
    circuits: FreshCircuits

    @staticmethod
    def like(
        stored: Dataset,
        dataset: DatasetConfig,
        device: DeviceConfig,
        options: FreshConfig,
        seed: int,
    ) -> Fresh:
        """Fresh circuits like those of a dataset.

        Args:
            stored: the dataset.
            dataset, device: what it was made of.
            seed: of the training.

        Raises:
            QmendError: as :func:`chosen_noise`, and for its own noise where the dataset was
                measured on hardware.
        """
        noise = chosen_noise(options, dataset, seed)
        circuits = FreshCircuits.like(stored, dataset, device, noise, seed, options.redraw)
        return Fresh(options, circuits)

    @property
    def jobs(self) -> int:
        """Of one draw."""
        return self.options.circuits // self.circuits.dataset.job_size

    def describe(self, epochs: int) -> dict[str, Any]:
        """What a training of so many epochs has seen, as plain values."""
        return {
            "options": self.options.model_dump(mode="json", exclude={"workers"}),
            "noise": self.circuits.noise.model_dump(mode="json"),
            "circuits": self.options.seen(epochs),
        }


def check_fresh(options: FreshConfig, dataset: DatasetConfig, batch_size: int) -> None:
    """Refuse what the configs alone show to be impossible, before any work.

    Raises:
        QmendError: if a draw fills no batch, or makes no whole jobs.
    """
    if options.circuits < batch_size:
        raise QmendError(
            f"fresh.circuits ({options.circuits}) must fill one batch of trainer.batch_size "
            f"({batch_size}); draw more, or take smaller batches."
        )
    size = dataset.job_size
    if options.circuits % size:
        near = max(size, options.circuits // size * size)
        raise QmendError(
            f"fresh.circuits ({options.circuits}) must be a multiple of dataset.job_size ({size}); "
            f"use {near} or {near + size}."
        )


def chosen_noise(options: FreshConfig, dataset: DatasetConfig, seed: int) -> NoiseConfig:
    """The noise that the options ask for.

    Raises:
        QmendError: as :func:`qmend.generation.online.fresh_noise`.
    """
    return fresh_noise(options.noise, options.strength, dataset, seed)


class FreshBatches:
    """New circuits every few epochs, alone or shuffled among the stored ones.

    A draw follows from its number alone, whoever makes it and when: with workers, it is simulated
    and encoded while the epochs before it train, and has the same bits. The context ends the
    workers; they end by themselves if this process is killed.

    Args:
        fresh: what is drawn.
        encoding: already fitted, to the stored training circuits.
        with_tokens: as for :func:`qmend.encodings.tensors.as_tensors`.
        stored: the stored training circuits; read only where the options say so.
        epochs: of the training; nothing is drawn for later ones.
        seed: of the training.

    Raises:
        QmendError: as :func:`check_fresh`.
    """

    def __init__(
        self,
        fresh: Fresh,
        encoding: Encoding,
        with_tokens: bool,
        stored: Batch,
        batch_size: int,
        epochs: int,
        seed: int,
    ) -> None:
        check_fresh(fresh.options, fresh.circuits.dataset, batch_size)
        self.fresh, self.encoding, self.with_tokens = fresh, encoding, with_tokens
        self.stored = stored if fresh.options.with_stored else None
        self.batch_size, self.epochs, self.seed = batch_size, epochs, seed
        self._drawn: tuple[int, Batch] | None = None
        self._waiting: tuple[int, list[Future[dict[str, AnyArray]]]] | None = None
        self._pool: ProcessPoolExecutor | None = None

    @property
    def rows(self) -> int:
        """Circuits an epoch."""
        return self.fresh.options.circuits + self._stored_rows

    @property
    def _stored_rows(self) -> int:
        return 0 if self.stored is None else len(self.stored["ideal"])

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    @property
    def identity(self) -> str:
        circuits = self.fresh.circuits
        parts = [
            self.fresh.options.model_dump(mode="json", exclude={"workers"}),
            dataset_recipe(circuits.dataset, circuits.device),
            [c.model_dump(mode="json") for c in circuits.calibrations],
            circuits.noise.model_dump(mode="json"),
            circuits.seed,
            None if circuits.again is None else sorted(circuits.again.circuit_id.tolist()),
            sorted(circuits.held_out),
            self.encoding.to_json(),
            self.with_tokens,
            None if self.stored is None else tensors_digest(self.stored),
            self.batch_size,
            self.seed,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def __enter__(self) -> FreshBatches:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._waiting = None

    def epoch(self, number: int) -> Iterator[Batch]:
        fresh = self._draw(number // self.fresh.options.every)
        seed = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))
        order = torch.randperm(self.rows, generator=generator)
        for index in torch.split(order, self.batch_size):
            if self.stored is None:
                yield _rows(fresh, index)
            else:
                old = index < self._stored_rows
                new = index[~old] - self._stored_rows
                yield joined([_rows(self.stored, index[old]), _rows(fresh, new)])

    def _draw(self, number: int) -> Batch:
        """The ``number``-th draw; the next one is begun."""
        if self._drawn is None or self._drawn[0] != number:
            self._drawn = None  # its memory is needed
            self._drawn = number, joined(self._parts(number))
            following = number + 1
            if self.fresh.options.workers and following * self.fresh.options.every < self.epochs:
                self._waiting = following, self._begin(following)
        return self._drawn[1]

    def _parts(self, number: int) -> list[Batch]:
        if not self.fresh.options.workers:
            jobs = self._jobs(number)
            return [_encoded(self.fresh.circuits, self.encoding, self.with_tokens, j) for j in jobs]
        waiting = self._waiting
        if waiting is None or waiting[0] != number:
            for future in waiting[1] if waiting else ():
                future.cancel()
            waiting = number, self._begin(number)
        self._waiting = None
        try:
            arrays = [future.result() for future in waiting[1]]
        except BrokenProcessPool:
            raise _worker_lost() from None
        return [{k: torch.from_numpy(v) for k, v in part.items()} for part in arrays]

    def _begin(self, number: int) -> list[Future[dict[str, AnyArray]]]:
        """Hand the jobs of a draw to the workers."""
        if self._pool is None:
            # Workers fork from one server that has imported everything and started no threads.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
            self._pool = ProcessPoolExecutor(
                self.fresh.options.workers,
                mp_context=context,
                initializer=_start_worker,
                initargs=(os.getpid(), self.fresh.circuits, self.encoding, self.with_tokens),
            )
        try:
            return [self._pool.submit(_work, job) for job in self._jobs(number)]
        except BrokenProcessPool:
            raise _worker_lost() from None

    def _jobs(self, number: int) -> range:
        return range(number * self.fresh.jobs, (number + 1) * self.fresh.jobs)


def joined(parts: Sequence[Batch]) -> Batch:
    """Rows of several batches as one; shorter tokens are padded and masked."""
    length = max(part["mask"].shape[1] for part in parts)
    return {
        name: torch.cat([_padded(name, part[name], length) for part in parts]) for name in parts[0]
    }


def _padded(name: str, tensor: Tensor, length: int) -> Tensor:
    if name not in ("tokens", "mask") or tensor.shape[1] == length:
        return tensor
    missing = length - tensor.shape[1]
    return functional.pad(tensor, (0, 0, 0, missing) if name == "tokens" else (0, missing))


def _rows(batch: Batch, index: Tensor) -> Batch:
    return {name: tensor[index] for name, tensor in batch.items()}


def _encoded(circuits: FreshCircuits, encoding: Encoding, with_tokens: bool, job: int) -> Batch:
    return labelled_tensors(encoding, circuits.job(job), with_tokens)


def _worker_lost() -> QmendError:
    return QmendError(
        "A process that simulates fresh circuits was ended from outside, perhaps for want of "
        "memory; the same command goes on from the last state, with fresh.workers=0 without "
        "such processes."
    )


#: What a worker draws from; set once, as tasks are small and this is not.
_worker: tuple[FreshCircuits, Encoding, bool] | None = None


def _start_worker(
    parent: int, circuits: FreshCircuits, encoding: Encoding, with_tokens: bool
) -> None:
    global _worker
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    torch.set_num_threads(1)
    _worker = circuits, encoding, with_tokens


def _work(job: int) -> dict[str, AnyArray]:
    assert _worker is not None
    return {name: tensor.numpy() for name, tensor in _encoded(*_worker, job).items()}
