"""Where the configs lie: in the checkout's ``conf``, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from qmend.types import QmendError


def config_groups(folder: Path) -> dict[str, list[str]]:
    """Map each group below a config directory, such as ``dataset/noise``, to its options."""
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        if path.parent != folder:
            groups.setdefault(str(path.parent.relative_to(folder)), []).append(path.stem)
    return groups


def conf_dir() -> Path:
    """Absolute path of the config folder.

    Raises:
        QmendError: if the package was installed without it.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "base.yaml").exists():
            return folder
    raise QmendError("The package carries no configs; install it again from a wheel or checkout.")


def study_configs() -> list[Path]:
    """List the configs of studies; none where the package was installed without configs."""
    try:
        return sorted((conf_dir() / "study").glob("*.yaml"))
    except QmendError:
        return []
