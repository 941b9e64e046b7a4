"""Encodings: circuits and calibrations as the tensors that networks read."""

from qmend.encodings.base import ENCODINGS, Encoding, Standardiser, build_encoding
from qmend.encodings.batch import Batch, BatchLoader

__all__ = ["ENCODINGS", "Batch", "BatchLoader", "Encoding", "Standardiser", "build_encoding"]
