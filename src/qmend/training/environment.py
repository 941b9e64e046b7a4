"""The environment of a training: processor, determinism, interrupts and warnings."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from qmend.training.config import TrainerConfig
from qmend.types import QmendError

_LIGHTNING_LOGGERS = ("", ".utilities.rank_zero", ".accelerators.cuda")

#: Must be set before the first matrix product on a GPU for it to be deterministic.
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def choose_accelerator(trainer: TrainerConfig) -> Literal["cpu", "gpu"]:
    """Choose where to train.

    Raises:
        QmendError: if a GPU is asked for or needed, and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if trainer.accelerator == "gpu" and not has_gpu:
        raise QmendError(
            "trainer.accelerator=gpu, but torch finds no CUDA GPU here; use "
            "trainer.accelerator=cpu, or auto, which takes a GPU where there is one."
        )
    accelerator: Literal["cpu", "gpu"] = (
        "gpu" if has_gpu and trainer.accelerator != "cpu" else "cpu"
    )
    if trainer.precision == "16-mixed" and accelerator == "cpu":
        raise QmendError(
            "trainer.precision=16-mixed needs a GPU (trainer.accelerator=gpu); on a CPU use "
            "bf16-mixed or 32-true."
        )
    return accelerator


@contextmanager
def isolated_random_state(seed: int, accelerator: str) -> Iterator[None]:
    """Seed torch inside, restore its state afterwards."""
    devices = [torch.cuda.current_device()] if accelerator == "gpu" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Allow torch only operations that give the same bits each time.

    Raises:
        QmendError: if the model needs one that has no such form.
    """
    if not wanted:
        yield
        return
    before = torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    workspace = os.environ.get(_CUBLAS)
    os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Memory is filled to find bugs; it costs time and changes nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        operation = str(error).split(" ")[0]
        raise QmendError(
            f"{operation} is not deterministic on this device; give trainer.deterministic=false."
        ) from None
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        if workspace is None:
            os.environ.pop(_CUBLAS, None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let an interrupt end a training: Lightning calls ``sys.exit(1)`` and ignores the next."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide banners, and advice on data loaders: batches are sliced from memory."""
    loggers = [logging.getLogger(f"pytorch_lightning{part}") for part in _LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
