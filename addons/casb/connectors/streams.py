"""Connections to engines that the admin named: a socket of this machine, or a host and port."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A Unix socket, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0


def parse(text: str, *, port: int | None = None) -> Address:
    """`unix:/path`, `host:port`, or `host` where there is a default `port`. Raises `ValueError` with a sentence."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text!r}: a Unix socket needs an absolute path")
        return Address(path=path)
    host, colon, digits = text.rpartition(":")
    if not colon and port is not None:
        host, digits = text, str(port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not digits.isdigit() or not 0 < int(digits) < 65536 or any(each.isspace() for each in host):
        raise ValueError(f"{text!r} is neither unix:/path nor host:port")
    return Address(host=host, port=int(digits))


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection. Raises `OSError`."""
    if address.path:
        return await asyncio.open_unix_connection(address.path)
    return await asyncio.open_connection(address.host, address.port)
