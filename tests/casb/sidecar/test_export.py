"""Exports: complete, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.sidecar.export import COLUMNS, FORMATS, as_csv, as_json, as_ndjson
from casb.spreadsheet import cell
from sample_records import record, records


def rows(given_records: list[dict[str, Any]]) -> list[dict[str, str]]:
    text = b"".join(as_csv(given_records)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_what_the_record_has() -> None:
    given_record = record(5)
    row = rows([given_record])[0]
    assert list(row) == list(COLUMNS)
    assert row["id"] == given_record["id"]
    assert row["app"] == given_record["app"]["name"]
    assert row["matched"] == ", ".join(given_record["matched"])
    assert row["managed"] == ("true" if given_record["device"]["managed"] else "false")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),  # noqa: RUF001 - full width
        ("a=1", "a=1"),
        ("", ""),
        (None, ""),
        (-2, "-2"),
        (True, "true"),
        (["=a", "b"], "'=a, b"),
        ("a\0b", "ab"),
        ("\0=1", "'=1"),
    ],
)
def test_no_cell_is_a_formula(value: object, expected: str) -> None:
    assert cell(value) == expected


@given(st.text(max_size=30))
def test_whatever_a_file_is_called_it_is_one_cell_of_text(name: str) -> None:
    given_record = {**record(1), "file": {"name": name}}
    row = rows([given_record])[0]
    assert not row["file"].lstrip(" ").startswith(("=", "+", "-", "@"))
    assert row["id"] == given_record["id"]


def test_json_forms_give_the_records_back() -> None:
    many = list(records(300))
    assert orjson.loads(b"".join(as_json(many))) == many
    assert [orjson.loads(line) for line in b"".join(as_ndjson(many)).splitlines()] == many
    assert orjson.loads(b"".join(as_json([]))) == []
    assert b"".join(as_ndjson([])) == b""


@pytest.mark.parametrize("form", FORMATS)
def test_exports_stream(form: str) -> None:
    assert len(list(FORMATS[form][1](records(1000)))) > 2
