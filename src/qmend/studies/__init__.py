"""Studies: questions that several tracked runs answer together.

A study is one file here and one config, ``conf/study/NAME.yaml``: the file has ``Config``, the type
of the config, and ``run(config, observer)``, which prints nothing and returns a
:class:`~qmend.studies.base.StudyResult`. The first lines of the config say what ``qmend --help``
says of it. It imports heavy libraries inside functions: its config is checked without them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmend.studies.base import StudyResult
    from qmend.workflows.data_config import CommonConfig
    from qmend.workflows.observer import Observer


def study_type(name: str) -> type[CommonConfig]:
    """Import the type of a study's config."""
    config_type: type[CommonConfig] = _module(name).Config
    return config_type


def compose_study(
    name: str, overrides: Sequence[str] = (), sections: Mapping[str, Any] | None = None
) -> CommonConfig:
    """Compose the config of a study.

    Args:
        sections: plain values of keys that take the place of the composed ones.

    Raises:
        QmendError: naming the key or value that is wrong.
    """
    from qmend.workflows.compose import compose_as

    return compose_as(study_type(name), f"study/{name}", overrides, sections)


def run_study(name: str, config: CommonConfig, observer: Observer) -> StudyResult:
    """Run a study, write its page beside its tables and figures, and log it to the study's run."""
    from qmend.config.groups import config_summary
    from qmend.files import write_text
    from qmend.reporting.study_page import PAGE, study_page
    from qmend.runs.cells import STUDY_FILES
    from qmend.tracking.run import Run
    from qmend.tracking.store import explain_errors, open_store

    result: StudyResult = _module(name).run(config, observer)
    output = getattr(config, "output", None)
    if output is not None:
        store = open_store(config.tracking.root)
        with explain_errors(store.root):
            files = store.artifacts(store.client.get_run(result.run_id))
        paths = [path.removeprefix(f"{STUDY_FILES}/") for path, _ in files if path.endswith(".svg")]
        page = study_page(name, config_summary(f"study/{name}"), result, paths)
        write_text(output / "page.md", page)
        Run(store, result.run_id).text(page, PAGE)
    return result


def _module(name: str) -> Any:
    return importlib.import_module(f"qmend.studies.{name}")
