from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ConfigError
from casb.identity.devices import (
    CertificateCheck,
    check_json,
    directory_tags,
    inventory_tags,
    is_check_due,
    read_inventory,
    with_check,
    with_tags,
)
from casb.model.identity import Device, DeviceTag, User

NOW = datetime.fromtimestamp(1_000_000, UTC)
ADA = User(id="t/1", name="ada@contoso.example")
CHECK = CertificateCheck(
    at=999_000.0,
    until=1_000_100.0,
    fingerprint="ab",
    device_id="laptop-7",
    tags={"client-certificate": "certificate:ab"},
    ip="10.0.0.1",
    agent="x",
)
CSV = b"Device,Tags,Owner\nPC-1,compliant|client-certificate,\npc-2,hybrid-joined,Ada@contoso.example\npc-3,,\n"
YAML = b"PC-1: [compliant, client-certificate]\npc-2: {tags: [hybrid-joined], owner: Ada@contoso.example}\npc-3: []\n"


@pytest.mark.parametrize(("data", "file"), [(CSV, "i.csv"), (YAML, "i.yaml")])
def test_an_inventory_gives_tags_to_the_devices_of_their_owners(data: bytes, file: str) -> None:
    inventory = read_inventory(data, file)
    assert inventory_tags(inventory, "pc-1", ADA, file) == {
        "client-certificate": f"inventory:{file}",
        "compliant": f"inventory:{file}",
    }
    assert list(inventory_tags(inventory, "PC-2", ADA)) == ["hybrid-joined"]
    assert inventory_tags(inventory, "pc-2", User(id="t/2", name="ben@contoso.example")) == {}
    for unknown in ("pc-3", "pc-4", "", None):
        assert inventory_tags(inventory, unknown, ADA) == {}


@pytest.mark.parametrize(
    ("data", "file", "words"),
    [
        (b"id,tags\n", "i.csv", "i.csv:1:1: I043 the head must name"),
        (b"device,tags\na,managed\n", "i.csv", "i.csv:2:1: I043 the device 'a' has an unknown tag"),
        (b"device,tags\na,compliant\nA,compliant\n", "i.csv", "i.csv:3:1: I043 the device 'A' is there twice"),
        (b"device,tags\na\n", "i.csv", "i.csv:2"),
        (b"\xff", "i.csv", "UTF-8"),
        (b"a: compliant", "i.yaml", "no list of tags"),
        (b"1: [compliant]", "i.yaml", "no list of tags"),
        (b"[]", "i.yaml", "must be a mapping"),
        (b"a: {owner: x}", "i.yaml", "no list of tags"),
    ],
)
def test_an_inventory_that_is_wrong_says_where(data: bytes, file: str, words: str) -> None:
    with pytest.raises(ConfigError) as told:
        read_inventory(data, file)
    assert told.value.code == "I043"
    assert words in str(told.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["i.csv", "i.yaml"]))
def test_any_bytes_are_an_inventory_or_the_one_error(data: bytes, file: str) -> None:
    try:
        read_inventory(data, file)
    except ConfigError as error:
        assert error.code == "I043"


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ({"accountEnabled": True, "isCompliant": True}, {"compliant"}),
        ({"accountEnabled": True, "trustType": "ServerAd"}, {"hybrid-joined"}),
        ({"accountEnabled": True, "isCompliant": True, "trustType": "ServerAd"}, {"compliant", "hybrid-joined"}),
        ({"accountEnabled": True, "isCompliant": "true", "trustType": "AzureAd"}, set()),
        ({"accountEnabled": False, "isCompliant": True}, set()),
        ({"isCompliant": True}, set()),
        ({}, set()),
    ],
)
def test_what_graph_says_of_a_device(device: dict[str, Any], expected: set[str]) -> None:
    assert set(directory_tags(device)) == expected


def test_tags_keep_the_source_that_proved_them_first() -> None:
    token = Device(tags=frozenset({DeviceTag.COMPLIANT}), id="one", sources={"compliant": "acrs:c1"})
    more = with_tags(token, {"compliant": "graph:isCompliant", "hybrid-joined": "graph:trustType"}, "two")
    assert (more.id, more.sources) == ("one", {"compliant": "acrs:c1", "hybrid-joined": "graph:trustType"})


@pytest.mark.parametrize(("seconds", "managed"), [(0, True), (99, True), (100, False), (10_000, False)])
def test_a_certificate_counts_until_it_is_to_be_shown_again(seconds: int, managed: bool) -> None:
    when = datetime.fromtimestamp(1_000_000 + seconds, UTC)
    device = with_check(Device(), CHECK, when)
    assert device.managed is managed
    assert device.id == ("laptop-7" if managed else None)


@pytest.mark.parametrize(
    ("check", "ip", "agent", "due"),
    [
        (None, "10.0.0.1", "x", True),
        (CHECK, "10.0.0.1", "x", False),
        (CHECK, "10.0.0.2", "x", True),
        (CHECK, "10.0.0.1", "y", True),
        (CertificateCheck(at=0, until=999_999.0, ip="10.0.0.1", agent="x"), "10.0.0.1", "x", True),
        (CertificateCheck(at=0, until=1_000_001.0, ip="10.0.0.1", agent="x", code="I030"), "10.0.0.1", "x", False),
    ],
)
def test_a_browser_is_asked_once_for_a_session(check: CertificateCheck | None, ip: str, agent: str, due: bool) -> None:
    assert is_check_due(check, ip, agent, NOW) is due


def test_a_check_survives_being_stored() -> None:
    stored = check_json(CHECK)
    assert stored is not None
    assert CertificateCheck(**stored) == CHECK
    assert check_json(None) is None
