"""The noise and the seeds of online simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from qmend.datasets.config import DatasetConfig
from qmend.noise.config import NoiseConfig, RandomizedNoise, WorldsConfig, read_noise
from qmend.types import QmendError

#: First number of the key of :func:`online_seed`; keys of circuits have three numbers, not two.
_STREAM = 0xF4E54


def online_seed(dataset: int, training: int) -> int:
    """Derive the seed (63 bits) of a training's circuits from its own and the dataset's."""
    key = (_STREAM, training)
    state = np.random.SeedSequence(dataset, spawn_key=key).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def online_noise(
    choice: str | Path, strength: tuple[float, float], dataset: DatasetConfig, seed: int
) -> NoiseConfig:
    """Build the noise of online simulation.

    It must hold no constants but those that the calibration or the training circuits show.

    Args:
        choice: ``dataset``, ``randomized``, or the path of a fitted noise config.
        strength: range of a randomized device's noise strength.
        seed: of the training.

    Raises:
        QmendError: if the constants would be read from the dataset's config, or the file holds
            no fitted noise.
    """
    if choice == "randomized":
        return RandomizedNoise(strength=strength, seed=online_seed(dataset.seed, seed))
    if choice == "dataset":
        if dataset.noise.constants == "calibration":
            return dataset.noise
        if isinstance(dataset.noise, WorldsConfig):
            return dataset.noise.model_copy(update={"seed": online_seed(dataset.seed, seed)})
        raise QmendError(
            f"online.noise=dataset would read the constants of {dataset.noise.name} from the "
            "dataset's config, and only training circuits may tell them; use "
            "online.noise=randomized, or the path of a noise config fitted to training circuits."
        )
    fitted = _read_fitted(Path(choice))
    if fitted.same_constants(dataset.noise):
        raise QmendError(
            f"online.noise={choice} holds the very constants that the dataset was simulated with; "
            "give a noise config fitted to training circuits, or use online.noise=randomized."
        )
    return fitted


def _read_fitted(path: Path) -> NoiseConfig:
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise QmendError(
            f"online.noise={path} is neither dataset nor randomized, nor a file that can be read "
            f"({error.strerror}); check the path."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise QmendError(f"online.noise={path} is no YAML file; check the path.") from None
    try:
        noise = read_noise(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise QmendError(
            f"online.noise={path} is no noise config: {where}: {first['msg']}."
        ) from None
    if noise.constants != "fit":
        raise QmendError(
            f"online.noise={path} is {noise.name}, whose constants nobody fitted; give a "
            "surrogate_fitted config, or use online.noise=dataset or randomized."
        )
    return noise
