"""Rows of a file of records: JSON lines, also gzipped, or Parquet."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qmend.strict_json import parse_json
from qmend.types import QmendError

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_GZIP_MAGIC = b"\x1f\x8b"
#: The longer mark first: UTF-32 begins as UTF-16 does.
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
#: Columns in which pandas keeps a table's row numbers.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read each row as plain values, nulls left out.

    Nulls stand for absence: pandas writes one for each outcome that another row has.

    Raises:
        QmendError: naming the file and what is wrong with it.
    """
    json_lines = path.name.lower().removesuffix(".gz").endswith(_JSON_LINES)
    if not json_lines and path.suffix.lower() != ".parquet":
        raise QmendError(f"{path} is neither .jsonl nor .parquet; see docs/datasets/importing.md.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise QmendError(f"{path} can't be read ({error.strerror}); check the path.") from None
    yield from _json_lines(path, data) if json_lines else _parquet(path, data)


def _parquet(path: Path, data: bytes) -> Iterator[dict[str, Any]]:
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        repeated = {name for name in table.column_names if table.column_names.count(name) > 1}
        if repeated:
            raise ValueError(f"the column {min(repeated)!r} is there more than once")
        rows = table.to_pylist()
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise QmendError(f"{path} can't be read as Parquet ({reason}); write it again.") from None
    for number, row in enumerate(rows):
        try:
            yield plain_values({k: v for k, v in row.items() if not _PANDAS_INDEX.fullmatch(k)})
        except ValueError as error:
            raise QmendError(f"{path}: row {number}: {error}; correct it.") from None


def plain_values(value: Any) -> Any:
    """Return maps (lists of pairs) as dictionaries, and dictionaries without their nulls.

    Raises:
        ValueError: if a map has a key twice.
    """
    if isinstance(value, list) and value and all(isinstance(v, tuple) for v in value):
        if len(dict(value)) < len(value):
            raise ValueError("a map has a key more than once")
        value = dict(value)
    if isinstance(value, dict):
        return {key: plain_values(entry) for key, entry in value.items() if entry is not None}
    return [plain_values(entry) for entry in value] if isinstance(value, list) else value


def _json_lines(path: Path, data: bytes) -> Iterator[dict[str, Any]]:
    # A line ends at \n alone: str.splitlines would cut strings at U+2028 and U+0085.
    for number, line in enumerate(_text(path, data).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = plain_values(parse_json(line.removeprefix("\ufeff")))  # files joined by cat
        except (ValueError, RecursionError) as error:
            raise QmendError(
                f"{path}: line {number} is no JSON ({error}); give one whole record a line."
            ) from None
        if not isinstance(value, dict):
            raise QmendError(f"{path}: line {number} is no JSON object; give one record a line.")
        yield value


def _text(path: Path, data: bytes) -> str:
    try:
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise QmendError(f"{path} can't be unpacked ({error}); write it again.") from None
    other = next((name for mark, name in _OTHER_MARKS.items() if data.startswith(mark)), None)
    if other is None and b"\0" in data:
        other = "UTF-16"  # without its mark: every second byte of plain letters is zero
    if other is None:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            other = f"Latin-1 or Windows-1252 (byte {data[error.start]:#04x} in line {line})"
    raise QmendError(f"{path} is not UTF-8 but probably {other}; save it as UTF-8.")
