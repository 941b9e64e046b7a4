"""Encodings: what the networks read, computed from stored physics when data are loaded."""

from qmend.encodings.base import Encoded, Encoding, Standardiser, build_encoding

__all__ = ["Encoded", "Encoding", "Standardiser", "build_encoding"]
