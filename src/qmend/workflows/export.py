"""Copy a network's files to a directory, with a card."""

from __future__ import annotations

import shutil
from pathlib import Path

from qmend.files import check_writable, write_text
from qmend.mitigation.guard import GUARD, Guard
from qmend.reporting.model_card import model_card
from qmend.tracking.store import open_store
from qmend.training.checkpoint import DESCRIPTION, WEIGHTS, checkpoint_folder, load_checkpoint
from qmend.types import QmendError

CARD = "README.md"


def export(name: str, folder: Path, root: Path | str | None = None) -> list[Path]:
    """Write a network's weights, description, guard and card to a directory.

    ``checkpoint=`` and :func:`qmend.load` take the directory.

    Args:
        name: as of :func:`qmend.load`.
        folder: made if it is not there.
        root: of the tracking store, as of :func:`qmend.load`.

    Returns:
        The files.

    Raises:
        QmendError: if there is no such network, it can't be read, or the directory has other files
            of a network.
    """
    source = checkpoint_folder(open_store(root), name)
    model, provenance = load_checkpoint(source)
    guard = Guard.beside(source / WEIGHTS)
    names = [WEIGHTS, DESCRIPTION, *([] if guard is None else [GUARD])]
    there = [each for each in (*names, GUARD, CARD) if (folder / each).exists()]
    if there:
        raise QmendError(f"{folder} already has {there[0]}; give another directory, or remove it.")
    check_writable(folder / CARD)
    for each in names:
        shutil.copyfile(source / each, folder / each)
    size = (folder / WEIGHTS).stat().st_size / 1000
    write_text(folder / CARD, model_card(model, provenance, guard, size))
    return [folder / each for each in (*names, CARD)]
