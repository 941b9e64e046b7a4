"""Encodings: circuits and calibrations as the tensors that networks read."""

from qmend.encodings.base import ENCODINGS, Encoding
from qmend.encodings.batch import Batch, BatchLoader

__all__ = ["ENCODINGS", "Batch", "BatchLoader", "Encoding"]
