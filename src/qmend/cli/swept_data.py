"""A check that no two cells of a multirun make different data in one directory."""

from __future__ import annotations

import re

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from qmend.config.compose import expand_sweep
from qmend.config.errors import CONFIG_ERRORS
from qmend.workflows.directories import check_directories

#: Sections of a config that decide a dataset and its directory.
_DATA = ("dataset", "device", "data")


def check_swept_data(config: DictConfig) -> None:
    """Refuse a sweep whose cells would replace each other's data.

    Args:
        config: of the multirun, with Hydra's own section.

    Raises:
        QmendError: with the name that keeps the datasets apart.
    """
    if "dataset" not in config:
        return
    cells, swept = expand_cells(config)
    keys = {text.partition("=")[0] for text in swept}
    # The overrides are no part of the config of a multirun.
    told = [text for text in cells[0] if _head(text) in _DATA]
    raw = "\n".join([OmegaConf.to_yaml(OmegaConf.masked_copy(config, list(_DATA))), *told])
    deciding = {
        key
        for key in keys
        if (head := _head(key)) in _DATA or head not in config or _refers(raw, head)
    }
    distinct = {
        tuple(text for text in cell if text.partition("=")[0] in deciding): cell for cell in cells
    }
    if len(distinct) < 2:
        return
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    try:
        composed = [hydra.config_loader.load_sweep_config(config, c) for c in distinct.values()]
        sections = [
            {name: OmegaConf.to_container(c[name], resolve=True) for name in _DATA}
            for c in composed
        ]
    except CONFIG_ERRORS:
        return  # Hydra, or the cell itself, says so
    check_directories(sections)


def expand_cells(config: DictConfig) -> tuple[list[list[str]], list[str]]:
    """Expand the overrides of a multirun, as :func:`expand_sweep`; references stay as they are."""
    params = config.hydra.sweeper.get("params") or {}
    task = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(task, list)
    return expand_sweep([*(f"{key}={value}" for key, value in params.items()), *map(str, task)])


def _head(override: str) -> str:
    """Return the first name of a key: a section, or a group that may set values in any."""
    return re.split(r"[./@=]", override.lstrip("+~"))[0]


def _refers(text: str, section: str) -> bool:
    return re.search(rf"\$\{{\.*{re.escape(section)}\b", text) is not None
