"""Rows of an endpoint agent: what each says, and why others say nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import endpoint_records as records
from casb.discovery.endpoint_records import DeviceContext, NetworkEvent, Outcome, record_of
from casb.model.discovery import Skipped
from endpoint_support import blocked, device, row, streamed


def event(plain: dict[str, Any]) -> NetworkEvent:
    told = record_of(plain, 1)
    assert isinstance(told, NetworkEvent), told
    return told


@pytest.mark.parametrize(
    ("plain", "fact", "value", "why"),
    [
        (row(), "host", "www.dropbox.com", "a bare name"),
        (row("https://Files.Example.:443/a/b?token=1#x"), "host", "files.example", "a URL, in its one form"),
        (row("https://u:p@files.example/a?token=1"), "url", "https://files.example/a", "no secrets of URLs are kept"),
        (row("198.51.100.9"), "host", None, "an address is no name"),
        (row("bücher.example"), "host", "xn--bcher-kva.example", "A-labels"),
        (row(DeviceName="PC1"), "device", "pc1", "names in lower case"),
        (row(DeviceName=None), "device", "d1", "the id where there is no name"),
        (row(RemoteIP="::ffff:198.51.100.7"), "remote_ip", "198.51.100.7", "dual-stack sockets"),
        (row(InitiatingProcessAccountUpn="", InitiatingProcessAccountName="SYSTEM"), "user", None, "no person"),
        (row(InitiatingProcessAccountUpn=None, InitiatingProcessAccountName="_mdnsresponder"), "user", None, "macOS"),
        (row(InitiatingProcessAccountUpn=None, InitiatingProcessAccountName="ada"), "user", "ada", "a local account"),
        (row(SentBytes=5, ReceivedBytes="7"), "down", 7, "bytes as text"),
        (row(SentBytes=-1), "up", None, "no negative bytes"),
        (row(SentBytes=True), "up", None, "no boolean bytes"),
        (row(AdditionalFields='{"request_body_len": 12, "response_body_len": 40}'), "up", 12, "inspected HTTP"),
        (row(ActionType="ConnectionSuccessAggregatedReport"), "outcome", Outcome.REACHED, "aggregated"),
        (row(ActionType="ConnectionRequest"), "outcome", Outcome.ASKED, "all that macOS tells"),
        (row(ActionType="ConnectionFailed"), "outcome", Outcome.FAILED, "failed"),
        (
            row(None, ActionType="SslConnectionInspected", AdditionalFields='{"server_name":"box.example"}'),
            "host",
            "box.example",
            "the name of the handshake",
        ),
        (
            row(None, RemoteIP="10.0.0.9", ActionType="HttpConnectionInspected",
                AdditionalFields='{"direction":"Out","method":"CONNECT","uri":"box.example:443","host":"proxy.corp"}'),
            "host",
            "box.example",
            "through a forward proxy the CONNECT tells whom",
        ),
        (
            row(ActionType="HttpConnectionInspected", AdditionalFields='{"status_code":"200","host":"box.example"}'),
            "outcome",
            Outcome.SERVED,
            "an answer was seen",
        ),
        (blocked("box.example"), "outcome", Outcome.BLOCKED, "network protection"),
        (blocked("box.example"), "category", "casbpolicy", "whose block it was"),
        (blocked("box.example", ActionType="SmartScreenUrlWarning"), "outcome", Outcome.WARNED, "Edge"),
        (blocked("box.example", ActionType="NetworkProtectionUserBypassEvent"), "outcome", Outcome.BYPASSED, "went on"),
        (streamed(row()), "host", "www.dropbox.com", "the streaming API's envelope"),
        ({key.upper(): value for key, value in row().items()}, "host", "www.dropbox.com", "any case"),
        ({"Type": "DeviceNetworkEvents", **row(), "TimeGenerated": row()["Timestamp"]}, "user", "ada@corp.example", "Sentinel"),
        (row("a" * 1_000_000), "host", None, "a megabyte is no name"),
        (row(AdditionalFields="{" * 100_000), "host", "www.dropbox.com", "details that cannot be read do not matter"),
    ],
)  # fmt: skip
def test_facts(plain: dict[str, Any], fact: str, value: object, why: str) -> None:
    assert getattr(event(plain), fact) == value, why


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (row(Timestamp=None), records.NO_TIME),
        (row(Timestamp="yesterday"), records.NO_TIME),
        (row(DeviceId=None, DeviceName=""), records.NO_DEVICE),
        (row(None, RemoteIP=None), records.NO_DESTINATION),
        (row(None, RemoteIP="127.0.0.1"), records.INSIDE),
        (row(ActionType="InboundConnectionAccepted"), records.INBOUND),
        (row(None, ActionType="ConnectionAttempt"), records.INBOUND),
        (row(ActionType="ListeningConnectionCreated"), records.INBOUND),
        (row(AdditionalFields='{"direction":"In"}'), records.INBOUND),
        (row(ActionType="DnsConnectionInspected"), records.LOOKUP),
        (row(ActionType="FileCreated"), records.NOT_NETWORK),
        (row(ActionType=None), records.NOT_NETWORK),
        (streamed(row(), "DeviceFileEvents"), records.OTHER_TABLE),
        (streamed({}, "EmailEvents"), records.OTHER_TABLE),
        ({"a": 1}, records.OTHER_TABLE),
        ({}, records.OTHER_TABLE),
    ],
)
def test_rows_that_say_nothing(plain: dict[str, Any], why: str) -> None:
    assert record_of(plain, 7) == Skipped(line=7, why=why)


@pytest.mark.parametrize(
    "text",
    ["2026-06-15T12:00:00.0000000Z", "2026-06-15T14:00:00+02:00", "2026-06-15 12:00:00", "6/15/2026, 12:00:00 PM",
     "Jun 15, 2026 12:00:00 PM"],
)  # fmt: skip
def test_times(text: str) -> None:
    assert event(row(Timestamp=text)).time.isoformat() == "2026-06-15T12:00:00+00:00"


def test_a_device() -> None:
    told = record_of(streamed(device(), "DeviceInfo"), 1)
    assert isinstance(told, DeviceContext)
    assert (told.os, told.group, told.risk, told.users, told.addresses) == (
        "Windows11", "Sales", "Low", ("ada",), ("203.0.113.1",),
    )  # fmt: skip


def test_addresses_of_a_device() -> None:
    facts = {
        "Timestamp": "2026-06-15T12:00:00Z",
        "DeviceId": "d",
        "IPAddresses": json.dumps([{"IPAddress": "fe80::1"}]),
    }
    told = record_of(streamed(facts, "DeviceNetworkInfo"), 1)
    assert isinstance(told, DeviceContext) and told.addresses == ("fe80::1",)


def test_blocked_is_not_allowed_for_discovery() -> None:
    assert event(blocked("box.example")).as_traffic().allowed is False
    assert event(row()).as_traffic().allowed is True
    assert event(row(ActionType="ConnectionFailed")).as_traffic().allowed is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*row(), *device(), "category", "properties", "AdditionalFields", "time"]), JSON)
)
def test_any_row_is_an_answer(plain: dict[str, Any]) -> None:
    told = record_of(plain, 3)
    assert told.line == 3
    if isinstance(told, NetworkEvent):
        assert told.host or told.remote_ip
