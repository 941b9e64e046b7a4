"""Croissant 1.0 metadata (JSON-LD) of a dataset.

The format: http://mlcommons.org/croissant/1.0. Every Parquet file is a FileObject with its hash;
all shards of circuits are one FileSet; each table is a RecordSet whose fields come from the
Parquet schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qmend.datasets.description import Description
from qmend.datasets.manifest import FileEntry

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_PARQUET = "application/x-parquet"
_TERMS = (
    "citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
    "references", "regex", "repeated", "replace", "separator", "source", "subField", "transform",
)  # fmt: skip
#: The context that the specification recommends.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
}
_CALIBRATION_COLUMNS = {
    "calibration_id": "SHA-256 (16 hex digits) of the snapshot",
    "device": "processor",
    "time": "when the snapshot was taken, UTC",
    "calibration": "the snapshot as JSON, units in the names of its values",
}


def croissant(
    described: Description,
    columns: Mapping[str, str],
    *,
    description: str,
    licence: str,
    creator: str,
    page: str,
) -> dict[str, Any]:
    """Write the metadata as plain values.

    ``datePublished`` is the date of the newest data, left out where none is known: equal data
    have equal metadata.

    Args:
        columns: meaning of each column of the circuits.
        licence: URL of its text.
        page: README of the dataset, relative to this file.
    """
    manifest = described.manifest
    shards = [e for e in manifest.shards if e.file not in described.others]
    newest = max(
        [t for t in pc.unique(described.table["executed_at"]).to_pylist() if t is not None]
        + [c.time for c in described.calibrations.values()],
        default=None,
    )
    published = {} if newest is None else {"datePublished": f"{newest:%Y-%m-%d}"}
    shard_schema = pq.read_schema(described.folder / shards[0].file)
    calibration_schema = pq.read_schema(described.folder / manifest.calibrations.file)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest.name,
        "conformsTo": CONFORMS_TO,
        "description": description,
        "license": licence,
        "url": page,
        "creator": {"@type": "sc:Organization", "name": creator},
        **published,
        "version": f"1.0.0+{manifest.dataset_sha}",
        "keywords": ["quantum computing", "error mitigation", "noisy measurement distributions"],
        "distribution": [
            *(_file(described, entry) for entry in [*manifest.shards, manifest.calibrations]),
            {
                "@type": "cr:FileSet",
                "@id": "circuit-shards",
                "name": "circuit-shards",
                "description": "All shards of circuits, in order.",
                "containedIn": [{"@id": entry.file} for entry in shards],
                "encodingFormat": _PARQUET,
                "includes": [entry.file for entry in shards],
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "circuits",
                "name": "circuits",
                "description": "One record a circuit.",
                "field": [
                    _field("circuits", f, columns.get(f.name, ""), {"fileSet": "circuit-shards"})
                    for f in shard_schema
                ],
            },
            {
                "@type": "cr:RecordSet",
                "@id": "calibrations",
                "name": "calibrations",
                "description": "One record a calibration snapshot.",
                "key": {"@id": "calibrations/calibration_id"},
                "field": [
                    _field(
                        "calibrations",
                        f,
                        _CALIBRATION_COLUMNS.get(f.name, ""),
                        {"fileObject": manifest.calibrations.file},
                    )
                    for f in calibration_schema
                ],
            },
        ],
    }


def _file(described: Description, entry: FileEntry) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": entry.file,
        "name": entry.file,
        "contentUrl": entry.file,
        "contentSize": f"{(described.folder / entry.file).stat().st_size} B",
        "encodingFormat": _PARQUET,
        "sha256": entry.sha256,
    }


def _field(
    records: str, column: pa.Field, meaning: str, source: Mapping[str, str]
) -> dict[str, Any]:
    identity = f"{records}/{column.name}"
    plain: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": identity,
        "name": column.name,
        "description": meaning.replace("`", ""),
    }
    kind = column.type
    if pa.types.is_list(kind):
        plain["repeated"] = True
        kind = kind.value_type
    where = {key: {"@id": name} for key, name in source.items()}
    extract = {**where, "extract": {"column": column.name}}
    if pa.types.is_struct(kind):
        plain["subField"] = [
            {
                "@type": "cr:Field",
                "@id": f"{identity}/{part.name}",
                "name": part.name,
                "dataType": _data_type(part.type),
                "source": {**extract, "transform": {"jsonPath": part.name}},
            }
            for part in kind
        ]
    else:
        plain["dataType"] = _data_type(kind)
    plain["source"] = extract
    if records == "circuits" and column.name == "calibration_id":
        plain["references"] = {"field": {"@id": "calibrations/calibration_id"}}
    return plain


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    return "sc:Text"
