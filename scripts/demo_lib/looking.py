"""Looking at the product from outside: the wire, the closed corners of a page, the log, the processes."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page

from demo_lib.processes import command_of, descendants
from demo_lib.stack import Stack, casb


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over the wire, byte for byte. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    stack: Stack,
    url: str,
    *,
    cookies_of: BrowserContext | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes | None = None,
) -> Answer:
    """One request to the proxy, with somebody's cookies and by their browser's name, following nothing."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    context = ssl.create_default_context(cafile=str(stack.our_ca))
    connection = http.client.HTTPSConnection(host, parts.port or 443, timeout=30, context=context)
    connection._create_connection = _to_loopback  # type: ignore[attr-defined]  # Only browsers resolve *.localhost.
    sent = {"Accept-Encoding": "identity", **(headers or {})}
    if cookies_of is not None:
        sent["Cookie"] = "; ".join(f"{each['name']}={each['value']}" for each in cookies_of.cookies(url))
        # A session that comes from another browser all at once is asked about anew. Every profile has a blank page.
        sent["User-Agent"] = cookies_of.pages[0].evaluate("navigator.userAgent")
    try:
        connection.request(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def _to_loopback(address: tuple[str, int], *arguments: Any, **options: Any) -> Any:
    import socket

    return socket.create_connection(("127.0.0.1", address[1]), *arguments, **options)


NAVIGATION = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
"""What a browser sends when a person opens an address."""


def dialog_text(page: Page) -> str:
    """The words of the dialog in the page, whose shadow root is closed to scripts."""
    session = page.context.new_cdp_session(page)
    try:
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    by_id = {node["nodeId"]: node for node in nodes}
    words: list[str] = []

    def collect(node: Mapping[str, Any]) -> None:
        if node.get("role", {}).get("value") in ("StaticText", "heading", "link"):
            words.append(str(node.get("name", {}).get("value", "")))
        for child in node.get("childIds", ()):
            if child in by_id:
                collect(by_id[child])

    for node in nodes:
        if node.get("role", {}).get("value") == "dialog":
            collect(node)
    return "\n".join(words)


def eventually[T](what: Callable[[], T], seconds: float, pause: float = 0.1) -> T:
    """The first true value of `what()`, or its last one when time runs out."""
    deadline = time.monotonic() + seconds
    while not (value := what()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value


def records(stack: Stack, **filters: str) -> list[dict[str, Any]]:
    """The activity log as `casb activity` exports it."""
    options = [part for name, value in filters.items() for part in (f"--{name}", value)]
    status, output, errors = casb(
        stack, "activity", "--config", str(stack.config), "--format", "ndjson", "--limit", "0", *options
    )
    if status:
        raise RuntimeError(f"casb activity failed: {errors}")
    return [json.loads(line) for line in output.split("\n") if line]


def process_of(stack: Stack, marker: str) -> int:
    """The id of a process of ours by a word of its command line, e.g. `casb.proxy.worker`."""
    for process in descendants(stack.casb.process.pid):
        if marker in command_of(process):
            return process
    raise LookupError(f"no process of ours runs {marker}")
