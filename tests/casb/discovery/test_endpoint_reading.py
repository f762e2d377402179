"""Exports in every shape, and bytes that are none."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import endpoint_reading as reading
from casb.discovery.endpoint_reading import EndpointReading, once, read_records
from casb.discovery.endpoint_records import TWICE, DeviceContext, NetworkEvent
from casb.model.discovery import Skipped, TrafficEvent
from endpoint_support import NOW, blocked, device, row, streamed

ROWS = [row("a.example"), row("b.example", LocalPort=2), device()]


def table(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for each in rows for key in each)), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


SHAPES = {
    "ndjson": "\n".join(map(json.dumps, ROWS)),
    "ndjson with blank lines and commas": ",\r\n\r\n".join(map(json.dumps, ROWS)),
    "list": json.dumps(ROWS),
    "printed list": json.dumps(ROWS, indent=2),
    "hunting": json.dumps({"Stats": {}, "Schema": [{"Name": "Timestamp"}], "Results": ROWS}),
    "printed hunting": json.dumps({"Results": ROWS}, indent=4),
    "stream": json.dumps({"records": [streamed(ROWS[0]), streamed(ROWS[1]), streamed(ROWS[2], "DeviceInfo")]}),
    "messages": "\n".join(
        json.dumps({"records": [streamed(each, "DeviceInfo" if "OSPlatform" in each else "DeviceNetworkEvents")]})
        for each in ROWS
    ),
    "list of messages": json.dumps([{"records": [streamed(ROWS[0]), streamed(ROWS[1])]}, {"records": [ROWS[2]]}]),
}


def read(content: bytes | str) -> list[Any]:
    return list(read_records(io.BytesIO(content.encode() if isinstance(content, str) else content)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("packed", ["plain", "gzip", "utf-16", "bom"])
def test_shapes(shape: str, packed: str) -> None:
    plain = SHAPES[shape]
    content = {
        "plain": plain.encode(),
        "gzip": gzip.compress(plain.encode()),
        "utf-16": plain.encode("utf-16"),
        "bom": plain.encode("utf-8-sig"),
    }[packed]
    told = read(content)
    assert [each.host for each in told if isinstance(each, NetworkEvent)] == ["a.example", "b.example"]
    assert [each.group for each in told if isinstance(each, DeviceContext)] == ["Sales"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(delimiter: str) -> None:
    told = read(table([row("a.example", AdditionalFields='{"x":"1,2\n3"}'), row("=cmd.example")], delimiter))
    assert [getattr(each, "host", None) for each in told] == ["a.example", None]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", None),
        ("\n\n", None),
        ("nonsense\nmore", reading.NOT_RECORD),
        ("{broken", reading.NOT_JSON),
        ('{"a": 1', reading.NOT_JSON),
        ("[1, null]", reading.NOT_RECORD),
        ("[[[[[[[1]]]]]]]", reading.NOT_JSON),
        (gzip.compress(b"x" * 9000)[:40], None),
        (b"\x00\x01\x02\xff" * 100, None),
    ],
)
def test_what_is_no_export(content: bytes | str, why: str | None) -> None:
    told = read(content)
    assert all(isinstance(each, Skipped) for each in told)
    assert why is None or told[0].why == why


def test_good_lines_count_beside_bad_ones() -> None:
    told = read(f"{json.dumps(ROWS[0])}\n{{broken\n{json.dumps(ROWS[1])}")
    assert [type(each).__name__ for each in told] == ["NetworkEvent", "Skipped", "NetworkEvent"]


def test_a_record_of_a_megabyte_counts() -> None:
    told = read(json.dumps(row("a.example", InitiatingProcessCommandLine="x" * 1_000_000)))
    assert told[0].host == "a.example"


def test_a_line_longer_than_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_DOCUMENT", 1000)
    told = read(f"{json.dumps(ROWS[0])}\n{'x' * 5000}\n{json.dumps(ROWS[1])}")
    assert told[1] == Skipped(line=2, why=reading.TOO_LONG)
    assert told[2].host == "b.example"


def test_one_connection_is_told_by_several_rows() -> None:
    rows = [
        row("a.example", ActionType="ConnectionRequest"),
        row("a.example"),
        row("a.example", ActionType="SslConnectionInspected"),
        row("a.example", ActionType="HttpConnectionInspected", SentBytes=5),
        row("a.example", LocalPort=9),
        row("a.example"),
        blocked("a.example"),
    ]
    told = list(once(read("\n".join(map(json.dumps, rows)))))
    kept = [each.action for each in told if isinstance(each, NetworkEvent)]
    assert kept == [
        "ConnectionRequest", "HttpConnectionInspected", "ConnectionSuccess", "ExploitGuardNetworkProtectionBlocked",
    ]  # fmt: skip
    assert sum(isinstance(each, Skipped) and each.why == TWICE for each in told) == 3


def test_rows_without_a_port_are_never_taken_for_one() -> None:
    rows = [row("a.example", LocalPort=None, ActionType=kind) for kind in ("ConnectionSuccess", "ConnectionFound")]
    assert len([each for each in once(read(json.dumps(rows))) if isinstance(each, NetworkEvent)]) == 2


def test_read_like_a_log() -> None:
    found = EndpointReading(io.BytesIO(SHAPES["list"].encode()))
    told = list(found)
    assert [type(each) for each in told] == [TrafficEvent, TrafficEvent, Skipped]
    assert isinstance(told[0], TrafficEvent) and told[0].time == NOW
    assert (found.source, found.confidence) == ("defender-endpoint", 1.0)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400)
    | st.text(alphabet='{}[]",:\n\\ aT1', max_size=200).map(str.encode)
    | st.builds(
        lambda text, at, junk: text.encode()[:at] + junk + text.encode()[at:],
        st.sampled_from(sorted(SHAPES.values())),
        st.integers(0, 600),
        st.binary(max_size=8),
    )
)
def test_any_bytes_are_an_answer(content: bytes) -> None:
    for each in read_records(io.BytesIO(content)):
        assert isinstance(each, NetworkEvent | DeviceContext | Skipped)
