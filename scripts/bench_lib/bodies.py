"""Rewriting text alone, in one process: MB per second of CPU with 1, 100 and 10,000 hosts.

Bodies come in chunks of 64 KB; "hits" is a body in which every link is ours, "no hits" one without a host of ours, as
most of what passes. Rounds are interleaved and the best counts; a plain copy and a chain of `bytes.replace` show what
the machine can do, and what the obvious way would cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap
from casb.rewrite.html import HtmlRewriter
from casb.rewrite.scan import BodyRewriter, urls_to_suffix, values_to_suffix
from casb.rewrite.script import ScriptRewriter

CHUNK = 64 * 1024
HOSTS = (1, 100, 10_000)
_TEXT = b"Nothing of ours is in this paragraph, only words, as in most of what passes. " * 4


def _fill(size: int, row: Callable[[int], bytes]) -> bytes:
    rows, filled, number = [], 0, 0
    while filled < size:
        rows.append(row(number))
        filled += len(rows[-1])
        number += 1
    return b"".join(rows)


def _rows(hosts: list[str]) -> dict[str, Callable[[int], bytes]]:
    def host(number: int) -> bytes:
        return hosts[number % len(hosts)].encode()

    def link(where: bytes, number: int) -> bytes:
        return b'<li class="row"><a href="%s/item/%d">Item</a><p>%s</p></li>\n' % (where, number, _TEXT)

    def rule(where: bytes, number: int) -> bytes:
        return b".row%d{color:#123;background:url(%s/i/%d.png)} .a,.b>.c{margin:0 auto;padding:1px}\n" % (
            number, where, number,
        )  # fmt: skip

    def code(where: bytes, number: int) -> bytes:
        return b"function f%d(a,b){return a.b+b[%d]||'nothing of ours'}\n" % (number, number) * 8 + (
            b'fetch("%s\\/api");\n' % where
        )

    def entry(where: bytes, number: int) -> bytes:
        return b'{"id":%d,"url":"%s/item/%d","text":"%s"},\n' % (number, where, number, _TEXT)

    rows: dict[str, Callable[[int], bytes]] = {}
    for kind, row in (("HTML", link), ("CSS", rule), ("JavaScript", code), ("JSON", entry)):
        rows[f"{kind}, hits"] = lambda number, row=row: row(b"https://" + host(number), number)  # type: ignore[misc]
        rows[f"{kind}, no hits"] = lambda number, row=row: row(b"", number)  # type: ignore[misc]
    return rows


def _ours(known: HostMap, context: RewriteContext, kind: str) -> Callable[[], BodyRewriter]:
    if kind.startswith("HTML"):
        return lambda: HtmlRewriter(context, PagePolicy(), guard=True)
    if kind.startswith("JavaScript"):
        return lambda: ScriptRewriter(known, context.view)
    scanner = urls_to_suffix if kind.startswith("CSS") else values_to_suffix
    return lambda: scanner(known)


def _through(rewriter: BodyRewriter, data: bytes) -> None:
    b"".join([*(rewriter.feed(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)), rewriter.finish()])


def _copy(data: bytes) -> None:
    bytes(bytearray(data))


def _chain(hosts: list[str], data: bytes) -> None:
    for name in hosts:
        data = data.replace(name.encode(), name.encode() + b".casb.test")


def speeds(*, size: int, rounds: int) -> list[dict[str, Any]]:
    """One row per kind of body: MB/s of a copy, of a chain for 100 hosts, and of ours by number of hosts."""
    rows = []
    every = {count: [f"app{number}.tenant{number % 7}.example" for number in range(count)] for count in HOSTS}
    maps = {count: HostMap("casb.test", 443, hosts) for count, hosts in every.items()}
    for kind in _rows(["x"]):
        ways: dict[str, tuple[int, Callable[[], None]]] = {}
        for count, hosts in every.items():
            data = _fill(size, _rows(hosts)[kind])
            make = _ours(maps[count], RewriteContext(hosts=maps[count], host=hosts[0]), kind)
            ways[str(count)] = len(data), lambda make=make, data=data: _through(make(), data)  # type: ignore[misc]
            if count == 100:
                ways["copy"] = len(data), lambda data=data: _copy(data)  # type: ignore[misc]
                ways["chain"] = len(data), lambda data=data, hosts=hosts: _chain(hosts, data)  # type: ignore[misc]
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(rounds):
            for name, (_, way) in ways.items():
                began = time.process_time()
                way()
                best[name] = min(best[name], time.process_time() - began)
        rows.append({"body": kind} | {name: round(ways[name][0] / 1e6 / max(best[name], 1e-9)) for name in ways})
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """For a terminal."""
    if not rows:
        return []
    lines = [
        "",
        "Rewriting alone, MB per CPU second      1 host  100 hosts  10,000 hosts  (replace chain, 100)  (copy)",
    ]
    for row in rows:
        cells = f"{row['1']:>8}{row['100']:>11}{row['10000']:>14}{row['chain']:>22}{row['copy']:>8}"
        lines.append(f"  {row['body']:<36}{cells}")
    return lines
