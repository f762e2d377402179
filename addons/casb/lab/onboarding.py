"""The `apps/*.yaml` of an application, as the laboratory found it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from publicsuffix2 import PublicSuffixList  # type: ignore[import-untyped]  # ships no types

_SUFFIXES = PublicSuffixList()


def app_id(host: str) -> str:
    """An id from a host name: its registrable label, or its first."""
    site = str(_SUFFIXES.get_sld(host) or host)
    label = host.removesuffix(f".{site}") if host != site else site
    word = (site if label in ("www", "app", "login", site) else label).partition(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") or "app"


def related(host: str, others: Iterable[str]) -> tuple[list[str], list[str]]:
    """Hosts of the same organisation by their registrable domain, and the others."""
    site = _SUFFIXES.get_sld(host)
    same: list[str] = []
    rest: list[str] = []
    for other in others:
        (same if _SUFFIXES.get_sld(other) == site else rest).append(other)
    return same, rest


def onboarding(
    *,
    name: str,
    hosts: Iterable[str],
    unknown: Iterable[tuple[str, int, str]],
    start: str,
    connect: str | None,
    logout: Iterable[str],
    notes: Iterable[str],
) -> str:
    """The file. `unknown` are hosts outside with how often and for what; `notes` become comments."""
    listed = list(hosts)
    others = {host: (count, kind) for host, count, kind in unknown}
    same, rest = related(listed[0], others)
    lines = [
        "# Written by casb lab. Read it before you use it: a laboratory sees only what its walk has touched.",
        f"id: {app_id(listed[0])}",
        f"name: {json.dumps(name[:80] or listed[0], ensure_ascii=False)}",
        "domains:",
    ]
    lines += [f"  - {_word(host)}" for host in listed]
    lines += [f"  - {host}  # asked for {others[host][0]} times ({others[host][1]})" for host in same]
    if start != "/":
        lines.append(f"start: {json.dumps(start)}")
    if connect:
        lines.append(f"upstream: {{connect: {json.dumps(connect)}}}")
    ways = list(logout)
    if ways:
        lines.append("logout:  # looks like signing out; our session ends with it")
        lines += [f"  - {json.dumps(way)}" for way in ways[:10]]
    lines.append("unknown_hosts: learn  # lists further hosts: casb catalog learned")
    if rest:
        lines.append("# Hosts of others that its pages asked for; they stay outside unless you add them to domains:")
        lines += [f"#   - {host}  # {others[host][0]} times ({others[host][1]})" for host in rest]
    lines += [f"# {' '.join(note.split())[:300]}" for note in notes]
    return "\n".join(lines) + "\n"


def _word(host: str) -> str:
    return f'"{host}"' if host.startswith("*") else host
