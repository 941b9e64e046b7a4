"""Studies: questions that several tracked runs answer together.

A study is one file here and one config, ``conf/study/NAME.yaml``: the file has ``Config``, the type
of the config, and ``run(config, observer)``, which prints nothing and returns a
:class:`~qmend.studies.base.StudyResult`. The first lines of the config say what ``qmend --help``
says of it. It imports heavy libraries inside functions: its config is checked without them.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmend.studies.base import StudyResult
    from qmend.workflows.configs import CommonConfig
    from qmend.workflows.observer import Observer


def study_type(name: str) -> type[CommonConfig]:
    """Import the type of a study's config."""
    config_type: type[CommonConfig] = _module(name).Config
    return config_type


def compose_study(name: str, overrides: Sequence[str] = ()) -> CommonConfig:
    """Compose the config of a study.

    Raises:
        QmendError: naming the key or value that is wrong.
    """
    from qmend.workflows.compose import compose_as

    return compose_as(study_type(name), f"study/{name}", overrides)


def run_study(name: str, config: CommonConfig, observer: Observer) -> StudyResult:
    """Run a study."""
    result: StudyResult = _module(name).run(config, observer)
    return result


def _module(name: str) -> Any:
    return importlib.import_module(f"qmend.studies.{name}")
