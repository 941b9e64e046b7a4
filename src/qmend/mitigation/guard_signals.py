"""Signals of a guard: what tells, without a label, whether a network's output harms."""

from __future__ import annotations

import numpy as np

from qmend import metrics
from qmend.datasets.circuits import CircuitBatch
from qmend.encodings import Batch
from qmend.encodings.device_paths import DevicePathsEncoding, losses_of
from qmend.mitigation.baselines.path_inversion import to_distributions
from qmend.models.trained import TrainedModel
from qmend.noise.parity_model import ParityLosses, ideal_parities, noisy_parities
from qmend.types import FloatArray, QmendError
from qmend.walsh import walsh_hadamard

#: Smallest survival that the inverse of the model of parities divides by.
_LEAST_SURVIVAL = 0.02
#: Added to distances and losses before their logarithm: no smaller one matters.
_SMALL = 0.01


def read_signals(
    model: TrainedModel, circuits: CircuitBatch, encoded: Batch | None = None
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Mitigate circuits, and compute the signals of their harm.

    y is the measured distribution, q the network's output, p the inverse of the model of parities
    (:mod:`qmend.noise.parity_model`) at the numbers of the device that the network reads, f(q) that
    model's noisy distribution of q.

    Args:
        encoded: the circuits; None: they are encoded here.

    Returns:
        q (N, 2^m), and (N,) by the names of :data:`qmend.mitigation.guard.SIGNALS`:

        - ``step``, ``path_step``: log of L1(q, y) and of L1(p, y);
        - ``agreement``, ``residual``: log of L1(q, p) / L1(q, y) and of L1(f(q), y) / L1(q, y);
        - ``loss``, ``doubt``: log of the mean loss of the parities of q, weighed by their sizes,
          and of its deviation by the numbers' own;
        - ``allowed``: log of the factor on all losses that y allows
          (:mod:`qmend.noise.common_factor`);
        - ``peak``: largest probability of q; ``sharpness``: log of 2^m sum q^2;
        - ``shots``: log; ``references``: log(1 + K); ``measured``: bits;
        - ``gain``: mean :func:`log_gain` of the references; 0 without any.

    Raises:
        QmendError: if the network reads no numbers of the device.
    """
    check_readable(model)
    encoded = model.encoding(circuits) if encoded is None else encoded
    assert encoded.device is not None
    mitigated, device = model.infer(encoded), encoded.device.double().numpy()
    losses, theta = losses_of(circuits, encoded.tokens.numpy()), device[:, :4]
    noisy, seen, parities = circuits.noisy, *map(walsh_hadamard, (circuits.noisy, mitigated))
    outcomes = parities.shape[1]
    path = _inverse(losses, seen, device)
    again = walsh_hadamard(noisy_parities(losses, parities, theta)) / outcomes
    step = _log_distance(mitigated, noisy)
    loss, doubt = _weighed_losses(losses, parities, device)
    return mitigated, {
        "step": step,
        "path_step": _log_distance(path, noisy),
        "agreement": _log_distance(mitigated, path) - step,
        "residual": _log_distance(again, noisy) - step,
        "loss": np.log(loss + _SMALL),
        "doubt": np.log(doubt + _SMALL),
        "allowed": device[:, 9],
        "peak": mitigated.max(axis=1),
        "sharpness": np.log(outcomes * (mitigated**2).sum(axis=1)),
        "shots": np.log(circuits.shots),
        "references": device[:, 8],
        "measured": np.full(len(circuits), float(circuits.n_measured)),
        "gain": np.zeros(len(circuits)) if circuits.gains is None else circuits.gains,
    }


def invert_at_numbers(model: TrainedModel, circuits: CircuitBatch) -> FloatArray:
    """(N, 2^m) p of :func:`read_signals`: what the numbers of the device do without the network.

    Raises:
        QmendError: if the network reads no numbers of the device.
    """
    check_readable(model)
    encoded = model.encoding(circuits)
    assert encoded.device is not None
    losses = losses_of(circuits, encoded.tokens.numpy())
    return _inverse(losses, walsh_hadamard(circuits.noisy), encoded.device.double().numpy())


def check_readable(model: TrainedModel) -> None:
    """Refuse a network that reads no numbers of the device.

    Raises:
        QmendError: naming its encoding.
    """
    if not isinstance(model.encoding, DevicePathsEncoding):
        raise QmendError(
            f"A guard needs the numbers of the device that a network reads, and the encoding "
            f"{model.encoding.name} has none; train one with model=walsh_operator "
            "model.encoding=device_paths."
        )


def log_gain(ideal: FloatArray, noisy: FloatArray, mitigated: FloatArray) -> FloatArray:
    """(N,) log of the L1 error after mitigation by that before; below 0 is better."""
    return _log_distance(mitigated, ideal) - _log_distance(noisy, ideal)


def _inverse(losses: ParityLosses, seen: FloatArray, device: FloatArray) -> FloatArray:
    return to_distributions(ideal_parities(losses, seen, device[:, :4], _LEAST_SURVIVAL))


def _weighed_losses(
    losses: ParityLosses, parities: FloatArray, device: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(N,) mean loss of parities at the numbers of the device, and deviation, by their sizes."""
    bits = (np.arange(parities.shape[1])[:, None] >> np.arange(losses.n_measured)) & 1
    parts = np.stack([losses.gates, losses.waits, losses.readout @ bits.T], axis=-1)  # (N, 2^m, 3)
    parts *= np.exp(device[:, None, :3])
    deviation = np.sqrt(((parts * device[:, None, 4:7]) ** 2).sum(axis=-1))
    size = np.abs(parities)
    size[:, 0] = 0.0
    weight = size / np.maximum(size.sum(axis=1, keepdims=True), _SMALL)
    return (weight * parts.sum(axis=-1)).sum(axis=1), (weight * deviation).sum(axis=1)


def _log_distance(p: FloatArray, q: FloatArray) -> FloatArray:
    distance: FloatArray = np.log(metrics.l1(p, q) + _SMALL)
    return distance
