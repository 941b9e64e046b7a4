"""Encodings: stored circuits to the arrays that networks read."""

from qmend.encodings.base import ENCODINGS, Encoded, Encoding, Standardiser, build_encoding

__all__ = ["ENCODINGS", "Encoded", "Encoding", "Standardiser", "build_encoding"]
