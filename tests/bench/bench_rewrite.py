"""Rewriting text as ratios within one run: a plain copy, a chain of `bytes.replace`, and ours; 1, 100 and 1,000 hosts.

    python tests/bench/bench_rewrite.py [--format json]

MB per second of CPU time, best of several rounds, rounds interleaved. Bodies come in chunks of 64 KB. "hits" is a page
whose every link is ours, "no hits" one without a host of ours: most of what passes a proxy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap
from casb.rewrite.html import HtmlRewriter
from casb.rewrite.scan import BodyRewriter, names_to_suffix

CHUNK = 64 * 1024
SIZE = 4 * 1024 * 1024
ROUNDS = 3
HOSTS = (1, 100, 1000)


def _fill(row: Callable[[int], bytes]) -> bytes:
    rows, size, number = [], 0, 0
    while size < SIZE:
        rows.append(row(number))
        size += len(rows[-1])
        number += 1
    return b"".join(rows)


def bodies(hosts: list[str]) -> dict[str, bytes]:
    """Pages and scripts of about 4 MB, with and without hosts of ours."""
    text = b"Nothing of ours is in this paragraph, only words, as in most of what passes. " * 4

    def link(number: int) -> bytes:
        host = hosts[number % len(hosts)].encode()
        return b'<li class="row"><a href="https://' + host + b'/item/%d">Item</a><p>' % number + text + b"</p></li>\n"

    def plain(number: int) -> bytes:
        return b'<li class="row"><a href="/item/%d">Item</a><p>' % number + text + b"</p></li>\n"

    def code(number: int) -> bytes:
        return b"function f%d(a,b){return a.b+b[%d]||'nothing of ours'}\n" % (number, number) * 8

    def calls(number: int) -> bytes:
        return code(number) + b'fetch("https:\\/\\/' + hosts[number % len(hosts)].encode() + b'\\/api");\n'

    head = b"<!doctype html><html><head><title>t</title></head><body>"
    return {
        "html, hits": head + _fill(link),
        "html, no hits": head + _fill(plain),
        "script, hits": _fill(calls),
        "script, no hits": _fill(code),
    }


def _through(rewriter: BodyRewriter, data: bytes) -> bytes:
    out = [rewriter.feed(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]
    return b"".join([*out, rewriter.finish()])


def _copy(data: bytes) -> bytes:
    return b"".join([bytes(bytearray(data[at : at + CHUNK])) for at in range(0, len(data), CHUNK)])


def _chain(hosts: list[str]) -> Callable[[bytes], bytes]:
    pairs = [(host.encode(), f"{host}.casb.test".encode()) for host in hosts]

    def run(data: bytes) -> bytes:
        for host, mapped in pairs:
            data = data.replace(host, mapped)
        return data

    return run


def _ours(hosts: list[str], kind: str) -> Callable[[bytes], bytes]:
    known = HostMap("casb.test", 443, hosts)
    context = RewriteContext(hosts=known, host=hosts[0])
    if kind.startswith("html"):
        return lambda data: _through(HtmlRewriter(context, PagePolicy(), guard=True), data)
    return lambda data: _through(names_to_suffix(known), data)


def measure() -> list[dict[str, str | int | float]]:
    """One row per body and number of hosts: MB/s of each way, and ours as a ratio to the others."""
    rows: list[dict[str, str | int | float]] = []
    for count in HOSTS:
        hosts = [f"app{number}.tenant{number % 7}.example" for number in range(count)]
        for kind, data in bodies(hosts).items():
            ways = {"copy": _copy, "replace chain": _chain(hosts), "ours": _ours(hosts, kind)}
            best = dict.fromkeys(ways, float("inf"))
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    began = time.process_time()
                    way(data)
                    best[name] = min(best[name], time.process_time() - began)
            speed = {name: len(data) / 1e6 / max(taken, 1e-9) for name, taken in best.items()}
            rows.append(
                {
                    "body": kind,
                    "hosts": count,
                    **{f"{name} MB/s": round(value) for name, value in speed.items()},
                    "ours / copy": round(speed["ours"] / speed["copy"], 3),
                    "ours / replace chain": round(speed["ours"] / speed["replace chain"], 2),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    rows = measure()
    if parser.parse_args().format == "json":
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    names = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in names]
    for line in (names, *([str(row[name]) for name in names] for row in rows)):
        sys.stdout.write("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) + "\n")


if __name__ == "__main__":
    main()
