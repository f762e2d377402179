"""Wrappers around log lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery.entry import Entry
from casb.discovery.syslog import MAX_LAYERS, along, layers

LINE = "the line proper, with a=b and 1,2"


@pytest.mark.parametrize(
    ("text", "stamp", "origin", "tag"),
    [
        (f"<134>May  6 07:08:09 fw {LINE}", "May  6 07:08:09", "fw", None),
        (f"<134>May  6 07:08:09 fw prog[1]: {LINE}", "May  6 07:08:09", "fw", "prog"),
        (f"<134>1 2024-05-06T07:08:09Z fw app 1 ID - {LINE}", "2024-05-06T07:08:09Z", "fw", "app ID"),
        (f"<134>May 06 2024 07:08:09: {LINE}", "May 06 2024 07:08:09", None, None),
        (f"<189>123: *May  6 07:08:09.123 UTC: {LINE}", "May  6 07:08:09.123 UTC", None, None),
        (f"2024-05-06T07:08:09.003+02:00 fw prog: {LINE}", "2024-05-06T07:08:09.003+02:00", "fw", "prog"),
        (f"2024:05:06-07:08:09 utm httpproxy[1]: {LINE}", "2024:05:06-07:08:09", "utm", "httpproxy"),
        (f"May  6 07:08:10 relay May  6 07:08:09 fw {LINE}", "May  6 07:08:09", "fw", None),
        (f"<134>{LINE}", None, None, None),
        (
            json.dumps({"@timestamp": "2024-05-06T07:08:09Z", "host": {"name": "fw"}, "message": LINE}),
            "2024-05-06T07:08:09Z",
            "fw",
            None,
        ),
        (json.dumps({"event": {"original": LINE}}), None, None, None),
        (json.dumps({"result": {"_raw": LINE}}), None, None, None),
    ],
)
def test_the_line_proper_is_among_the_layers(text: str, stamp: str | None, origin: str | None, tag: str | None) -> None:
    found = [entry for entry in layers(Entry(1, text)) if entry.text == LINE]
    assert len(found) == 1
    assert found[0].tag == tag
    assert found[0].number == 1
    assert (found[0].stamp, found[0].origin) == (stamp, origin)


def test_structured_data_is_known_and_a_layer_of_its_own() -> None:
    text = '<134>1 2024-05-06T07:08:09Z fw app - - [a@1 key="va\\"l\\]ue" other="x"][b@2 third="y"] ' + LINE
    found = layers(Entry(1, text))
    inner = next(entry for entry in found if entry.text == LINE)
    assert inner.data == {"sd-id": "a@1", "key": 'va"l]ue', "other": "x", "third": "y"}
    assert any(entry.text.startswith("[a@1 ") for entry in found)


def test_the_line_itself_stays_a_layer() -> None:
    text = "2024-05-06 07:08:09 192.0.2.1 GET /x 200"
    assert layers(Entry(1, text))[0].text == text


def test_the_path_of_a_layer_leads_there_in_another_line() -> None:
    one, two = (f"<134>May  6 07:08:0{digit} fw prog[1]: {LINE} {digit}" for digit in (1, 2))
    inner = layers(Entry(1, one))[-1]
    found = along(Entry(2, two), inner.path)
    assert found is not None
    assert (found.number, found.text) == (2, f"{LINE} 2")
    assert along(Entry(3, "no wrapper here"), inner.path) is None


@settings(max_examples=300)
@given(st.text(max_size=120) | st.from_regex(r"<\d{1,3}>1? ?[A-Za-z0-9 :\[\]\"={}.-]{0,80}"))
def test_any_text_has_few_layers_that_shrink(text: str) -> None:
    found = layers(Entry(1, text))
    assert found[0].text == text or not text
    assert len(found) <= MAX_LAYERS + 2
