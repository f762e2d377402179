"""MaxMind DB files with a few networks (format specification 2.0), and npm packages around them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

type Value = str | int | Mapping[str, Value] | list[str]

KNOWN = {"1.1.1.0/24": "AU", "8.8.8.0/24": "US", "193.0.0.0/21": "NL", "2001:4860::/32": "US", "10.0.0.0/8": "ZZ"}


def database(networks: Mapping[str, Value]) -> bytes:
    """A database of these networks, v4 below ::/96 as the format has it."""
    nodes: list[list[int | Value | None]] = [[None, None]]
    for text, value in networks.items():
        network = ip_network(text)
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
        at = 0
        for number, bit in enumerate(path := ("0" * 96 if network.version == 4 else "") + bits):
            if number == len(path) - 1:
                nodes[at][int(bit)] = {"": value}
                break
            if nodes[at][int(bit)] is None:
                nodes.append([None, None])
                nodes[at][int(bit)] = len(nodes) - 1
            child = nodes[at][int(bit)]
            assert isinstance(child, int)
            at = child
    data, tree = b"", b""
    for node in nodes:
        for record in node:
            if isinstance(record, Mapping):
                pointer = len(nodes) + 16 + len(data)
                data += _encoded(record[""])
            else:
                pointer = len(nodes) if record is None else int(str(record))
            tree += pointer.to_bytes(4, "big")
    facts: dict[str, Value] = {
        "node_count": len(nodes),
        "record_size": 32,
        "ip_version": 6,
        "database_type": "test",
        "languages": [],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {},
    }
    return tree + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + _encoded(facts)


def _encoded(value: Value) -> bytes:
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return _control(6, 4) + value.to_bytes(4, "big")
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encoded, value))
    return _control(7, len(value)) + b"".join(_encoded(key) + _encoded(each) for key, each in value.items())


def _control(kind: int, size: int) -> bytes:
    assert size < 285
    low, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return (bytes([kind << 5 | low]) if kind < 8 else bytes([low, kind - 7])) + more


def countries(networks: Mapping[str, str]) -> bytes:
    """A database of country codes."""
    return database({network: {"country_code": code} for network, code in networks.items()})


def package(path: Path, name: str, content: bytes, kind: bytes = tarfile.REGTYPE) -> Path:
    """What `npm pack` gives."""
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.type = (len(content) if kind == tarfile.REGTYPE else 0), kind
        member.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
        archive.addfile(member, io.BytesIO(content))
    return path
