"""What a head costs: one request's and one response's, as a ratio to copying their fields, with few and many hosts.

`python tests/bench/bench_heads.py` prints a table. Never a pass or fail on time.
"""

# ruff: noqa: E501  # heads read best with one field per line
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from casb.rewrite.context import RewriteContext
from casb.rewrite.headers import Field, page_policy_of, request_headers, response_headers
from casb.rewrite.hosts import HostMap

HOSTS = (1, 100, 10_000)
ROUNDS, TIMES = 5, 400
POLICY = (
    b"default-src 'self'; script-src 'nonce-%s' 'strict-dynamic' https:; img-src 'self' data: https://*.tenant1.example "
    b"cdn.example; connect-src 'self' wss://app0.tenant0.example https://api.example:8444; frame-ancestors 'none'; "
    b"report-uri https://app0.tenant0.example/report"
)


def heads(host: str, port: int) -> tuple[list[Field], list[Field], list[Field]]:
    """A request from the browser, the answer of a plain application, and of one with policies and cookies."""
    here = f"https://{host}.casb.test".encode()
    asked = [
        (b"host", f"{host}.casb.test".encode()), (b"user-agent", b"Mozilla/5.0 " * 8), (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate, br, zstd"), (b"referer", here + b"/page"), (b"origin", here),
        (b"cookie", b"__Host-casb_s=" + b"x" * 43 + b"; sid=" + b"y" * 60 + b"; theme=dark"),
        (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"cors"), (b"sec-fetch-dest", b"empty"),
    ]  # fmt: skip
    plain = [
        (b"content-type", b"text/html"),
        (b"content-length", b"1"),
        (b"etag", b'"x"'),
        (b"cache-control", b"no-store"),
    ]
    rich = [
        *plain,
        (b"content-security-policy", POLICY % b"abc"),
        (b"set-cookie", f"sid=1; Path=/; Domain={host}; Secure; HttpOnly; SameSite=None".encode()),
        (b"set-cookie", b"theme=dark; Path=/"),
        (b"link", f"<https://{host}/a.css>; rel=preload".encode()),
        (b"permissions-policy", f'camera=(self "https://{host}"), usb=()'.encode()),
    ]
    return asked, plain, rich


def _each(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TIMES):
            run()
        best = min(best, time.process_time() - began)
    return best / TIMES * 1e6


def measure() -> list[dict[str, str | int | float]]:
    """One row per head and number of hosts: microseconds of each way, and the ratio."""
    rows: list[dict[str, str | int | float]] = []
    for count in HOSTS:
        names = [f"app{number}.tenant{number % 7}.example" for number in range(count)]
        context = RewriteContext(hosts=HostMap("casb.test", 443, names), host=names[0], relation="same-origin")
        asked, plain, rich = heads(names[0], 443)
        ways: dict[str, tuple[list[Field], Callable[[], object]]] = {
            "request": (asked, lambda c=context, f=asked: request_headers(f, c)),  # type: ignore[misc]
            "plain response": (plain, lambda c=context, f=plain: response_headers(f, c, page_policy_of(f, c))),  # type: ignore[misc]
            "rich response": (rich, lambda c=context, f=rich: response_headers(f, c, page_policy_of(f, c))),  # type: ignore[misc]
        }
        for name, (fields, way) in ways.items():
            copied = _each(lambda f=fields: [(bytes(key), bytes(value)) for key, value in f])  # type: ignore[misc]
            taken = _each(way)
            rows.append(
                {"head": name, "hosts": count, "copy us": round(copied, 1), "ours us": round(taken, 1), "ours / copy": round(taken / copied, 1)}
            )  # fmt: skip
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
