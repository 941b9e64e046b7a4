"""Files of records: every spelling of them is read, what may be something else is refused."""

import gzip
import json
import math
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qmend.importing.records import Record, read_records
from qmend.types import QmendError

PLAIN = {
    "id": "a",
    "qasm": "OPENQASM 2.0;",
    "circuit_stage": "submitted",
    "device": "lab",
    "counts": {"00": 60, "11": 40},
}
OTHER = {**PLAIN, "id": "b", "counts": {"01": 7, "10": 3}}
VALUES = {k: v for k, v in PLAIN.items() if k != "counts"} | {
    "observables": ["ZI", "IZ"],
    "values": [-0.9, 1],
    "shots": 100,
}
LINE = json.dumps(PLAIN | {"attribution": "M\u00fcller"}, ensure_ascii=False)


def read(folder: Path, data: bytes, name: str = "given.jsonl") -> list[Record]:
    path = folder / name
    path.write_bytes(data)
    return read_records(path)


def read_one(folder: Path, **changes) -> Record:
    return read(folder, json.dumps(PLAIN | changes).encode())[0]


def read_columns(folder: Path, **columns) -> list[Record]:
    """From a Parquet file of one row, some of its columns given as Arrow arrays."""
    path = folder / "given.parquet"
    pq.write_table(pa.table({k: [v] for k, v in PLAIN.items()} | columns), path)
    return read_records(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("given.jsonl", b"\xef\xbb\xbf" + LINE.encode()),
        ("given.jsonl", LINE.encode() + b"\r\n\r\n"),
        ("GIVEN.JSONL", LINE.encode()),
        ("given.ndjson", LINE.encode()),
        ("given.jsonl.gz", gzip.compress(LINE.encode())),
        ("GIVEN.JSONL.GZ", gzip.compress(LINE.encode())),
        ("given.jsonl.gz", LINE.encode()),  # unpacked by a browser on its way
        ("given.jsonl", gzip.compress(LINE.encode())),
    ],
)
def test_json_lines_of_every_spelling(tmp_path, name, data):
    (record,) = read(tmp_path, data, name)
    assert record.attribution == "M\u00fcller"
    assert record.counts == PLAIN["counts"]


def test_files_that_were_joined_have_marks_within(tmp_path):
    both = ["\ufeff" + json.dumps(PLAIN | {"id": name}) + "\n" for name in "ab"]
    assert [r.id for r in read(tmp_path, "".join(both).encode())] == ["a", "b"]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085"])
def test_a_line_ends_at_a_newline_alone(tmp_path, character):
    text = json.dumps(PLAIN | {"attribution": f"A{character}B"}, ensure_ascii=False)
    both = text + "\n" + text.replace('"a"', '"b"') + "\n"
    assert [r.attribution for r in read(tmp_path, both.encode())] == [f"A{character}B"] * 2


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.jsonl", LINE.encode("latin-1"), r"probably Latin-1 .*byte 0xfc in line 1"),
        ("x.jsonl", b"{}\n" + LINE.encode("latin-1"), "in line 2"),
        ("x.jsonl", LINE.encode("utf-16"), "probably UTF-16; save it as UTF-8"),
        ("x.jsonl", LINE.encode("utf-16-be"), "probably UTF-16"),
        ("x.jsonl", LINE.encode("utf-32"), "probably UTF-32"),
        ("x.jsonl.gz", gzip.compress(LINE.encode())[:-12], "can't be unpacked"),
        ("x.jsonl.gz", b"\x1f\x8b" + LINE.encode(), "can't be unpacked"),
        ("x.jsonl", b'{"a":' * 900 + b"1" + b"}" * 900, "line 1 is no JSON .*recursion"),
        ("x.json", json.dumps(PLAIN, indent=1).encode(), "give one whole record a line"),
        ("x.jsonl", LINE.replace('"11": 40', '"11": 40, "00": 5').encode(), "key '00' is there"),
        ("x.jsonl", LINE.replace('"a"', '"a", "id": "b"').encode(), "the key 'id' is there"),
        ("x.parquet", LINE.encode(), "can't be read as Parquet"),
        ("x.parquet.gz", gzip.compress(LINE.encode()), r"neither \.jsonl nor \.parquet"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, name, data, message):
    with pytest.raises(QmendError, match=message) as told:
        read(tmp_path, data, name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl"])
def test_a_directory_is_no_file(tmp_path, name):
    (tmp_path / name).mkdir()
    pq.write_table(pa.Table.from_pylist([PLAIN]), tmp_path / name / "part-0.parquet")
    with pytest.raises(QmendError, match=r"can't be read \(Is a directory\)"):
        read_records(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": {"01": 1.0}}, "counts: 1.0 may be a probability"),
        ({"counts": {"00": 1.0, "01": 0}}, "counts: 1.0 may be a probability"),
        ({"counts": {"00": 87.0, "11": 13.0}}, "counts: 87.0 may be a probability or per cent"),
        ({"counts": {"00": 1.0}, "shots": 1000}, "counts: 1.0 may be a probability"),
        ({"counts": {"00": 0.5, "11": 0.5}, "shots": 1}, "counts: 0.5 may be a probability"),
        ({"counts": {"00": 4, "11": math.nan}}, "counts: nan may be"),
        ({"counts": {"00": 4, "11": math.inf}}, "counts: inf may be"),
        ({"counts": {"01": True}}, "counts.01: Input should be a valid integer"),
        ({"counts": {"01": "870"}}, "counts.01: Input should be a valid integer"),
        ({"counts": {"01": "1.0"}}, "counts.01: Input should be a valid integer"),
        ({"counts": {"01": -1}}, "counts.01: .*greater than or equal to 0"),
        ({"counts": {"01": 2**63}}, "counts.01: .*less than or equal to"),
        ({"counts": '{"01": 5, "01": 6}'}, "counts is no JSON .the key '01' is there"),
        ({"counts": [1, 2]}, "counts: Input should be a valid dictionary"),
        ({"ideal": {"01": True}}, "ideal.01: Input should be a valid number"),
        ({"shots": True}, "shots: Input should be a valid integer"),
        ({"shots": 2**64}, "shots: .*less than or equal to"),
        ({"physical_qubits": [True, 0]}, "physical_qubits.0"),
        ({"id": True}, "id: Input should be a valid string"),
        ({"date": 20240501}, "date: 20240501 is no time: write text such as 2024-05-01"),
        ({"date": "1714521600"}, "Invalid isoformat string: '1714521600'"),
        ({"noisy_z": 3}, "noisy_z is no list of values"),
        ({"circuit_level": "executed"}, "both circuit_stage and circuit_level"),
        ({"shots": 100, "shots_per_observable": 50}, "both shots and shots_per_observable"),
    ],
)
def test_values_that_may_be_something_else_are_refused(tmp_path, changes, message):
    with pytest.raises(QmendError, match=message):
        read_one(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": [-37.5, 1]}, r"values.0: -37.5 is no expectation value .*per cent"),
        ({"values": [1, 1.01]}, "values.1: 1.01 is no expectation value"),
        ({"values": [math.nan, 1]}, "values.0: Input should be a finite number"),
        ({"values": [None, 1]}, "values.0: Input should be a valid number"),
        ({"values": [True, 1]}, "values.0: Input should be a valid number"),
        ({"values": ["0.5", 1]}, "values.0: Input should be a valid number"),
        ({"ideal_values": [-2, 1]}, "ideal_values.0: -2.0 is no expectation value"),
        ({"ideal_values": [math.nan, 1]}, "ideal_values.0: Input should be a finite number"),
        ({"observables": ["ZI", "ZI"]}, "observables names one twice"),
        ({"extrapolated_values": [-104.0, 99.0]}, "extrapolated_values.0: -104.0 is no"),
    ],
)
def test_expectation_values_lie_between_minus_one_and_one(tmp_path, changes, message):
    with pytest.raises(QmendError, match=message):
        read(tmp_path, json.dumps(VALUES | changes).encode())


def test_rounding_and_extrapolation_may_pass_one(tmp_path):
    values = {"values": [-1 - 1e-9, 1.0], "extrapolated_values": [-1.2, 1.05]}
    (record,) = read(tmp_path, json.dumps(VALUES | values).encode())
    assert record.values == [-1 - 1e-9, 1.0]
    assert record.extrapolated_values == [-1.2, 1.05]


def test_fractions_are_counts_where_the_shots_say_so(tmp_path):
    record = read_one(tmp_path, counts={"00": 870.0, "11": 130}, shots=1000.0)
    assert record.counts == {"00": 870, "11": 130}
    assert all(isinstance(count, int) for count in record.counts.values())


def test_numbers_are_names_and_nulls_are_absent(tmp_path):
    record = read_one(tmp_path, id=7, job_id=12, counts={"00": 5, "11": None}, date=None)
    assert (record.id, record.job_id, record.date) == ("7", "12", None)
    assert record.counts == {"00": 5}
    assert read_one(tmp_path, counts='{"00": 5, "11": null}').counts == {"00": 5}
    with pytest.raises(QmendError, match="two records are called 7"):
        read(tmp_path, "\n".join(json.dumps(PLAIN | {"id": i}) for i in (7, "7")).encode())


def test_what_pandas_writes_from_dictionaries(tmp_path):
    """A struct of all outcomes, null where a row lacks one; the same for calibrations."""
    path = tmp_path / "given.parquet"
    medians = {"t1_us": 90.0, "time": "2024-05-01T00:00:00Z"}
    frame = pd.DataFrame(
        [PLAIN | {"calibration": medians}, OTHER | {"calibration": {"qubits": []}}]
    )
    frame.to_parquet(path)
    first, second = read_records(path)
    assert (first.counts, second.counts) == (PLAIN["counts"], OTHER["counts"])
    assert first.calibration == medians
    assert second.calibration == {"qubits": []}
    frame[::-1].to_parquet(path)  # a column __index_level_0__
    assert [r.id for r in read_records(path)] == ["b", "a"]
    frame.set_index("id").to_parquet(path)
    assert [r.id for r in read_records(path)] == ["a", "b"]
    frame.assign(id=[1, 2]).to_parquet(path)
    assert [r.id for r in read_records(path)] == ["1", "2"]


STRINGS_TO_INTEGERS = pa.map_(pa.string(), pa.int64())


def test_counts_as_a_map(tmp_path):
    counts = pa.array([[("00", 870), ("11", 130), ("01", None)]], STRINGS_TO_INTEGERS)
    assert read_columns(tmp_path, counts=counts)[0].counts == {"00": 870, "11": 130}
    twice = pa.array([[("00", 870), ("00", 130)]], STRINGS_TO_INTEGERS)
    with pytest.raises(QmendError, match="row 0: a map has a key more than once"):
        read_columns(tmp_path, counts=twice)
    numbers = pa.array([[(0, 870), (11, 130)]], pa.map_(pa.int64(), pa.int64()))
    with pytest.raises(QmendError, match=r"counts.0.*Input should be a valid string"):
        read_columns(tmp_path, counts=numbers)


def test_a_column_or_a_struct_with_a_name_twice_is_refused(tmp_path):
    counts = pa.StructArray.from_arrays([pa.array([5]), pa.array([6])], names=["01", "01"])
    with pytest.raises(QmendError, match="duplicate field names"):
        read_columns(tmp_path, counts=counts)
    table = pa.table({k: [v] for k, v in PLAIN.items()})
    path = tmp_path / "given.parquet"
    pq.write_table(table.append_column("device", pa.array(["other"])), path)
    with pytest.raises(QmendError, match="the column 'device' is there more than once"):
        read_records(path)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([date(2024, 5, 1)], pa.date32()), "2024-05-01"),
        (pa.array(["20240501"]), "20240501"),
        (pa.array([datetime(2024, 5, 1, tzinfo=UTC)]), "2024-05-01T00:00:00+00:00"),
    ],
)
def test_dates_of_every_column_type(tmp_path, column, text):
    (record,) = read_columns(tmp_path, date=column)
    assert record.date == text
    assert datetime.fromisoformat(record.date).date() == date(2024, 5, 1)
    assert (record.executed_at is None) == ("+" not in text)
