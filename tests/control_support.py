"""A snapshot and its people, for tests of `casb.control`: texts in, values out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

from casb.config import build
from casb.control.exchange import Exchange, Party
from casb.control.snapshot import Snapshot, build_snapshot
from casb.model.activity import RequestFacts, RequestMode, ResponseFacts
from casb.model.identity import Client, Device, DeviceTag, User

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

FILES = {
    "casb.yaml": b"suffix: casb.test\nlisteners: {reverse: '127.0.0.1:8443'}\n",
    "apps/files.yaml": b"id: files\nname: Files\ndomains: [files.example, '*.files.example']\n"
    b"signatures: [{activity: share, methods: [POST], path: /share/*}]\n",
    "apps/intra.yaml": b"id: intra\nname: Intranet\ndomains: [intra.example]\nupstream: {connect: 'http://127.0.0.1:9000'}\n",
    "apps/v6.yaml": b"id: v6\nname: Six\ndomains: [six.example]\nupstream: {connect: '[::1]:9443'}\n",
    "apps/bad.yaml": b"id: bad\nname: Bad\ndomains: [bad.example]\ntag: unsanctioned\n",
    "apps/easy.yaml": b"id: easy\nname: Easy\ndomains: [easy.example]\non_failure: allow\n",
    "rules.yaml": b"""\
version: 1
policies:
  - {id: a-block, severity: high, activities: download, when: {file: {name: 'payroll*'}}, action: block, message: 'No {file}.'}
  - {id: b-protect, activities: download, when: {file: {name: 'report*'}}, action: protect}
  - {id: c-read, activities: download, when: {file: {detected_type: application/pdf}}, action: block}
  - {id: d-step, activities: share, when: {device: unmanaged}, action: step_up}
  - {id: e-up, activities: upload, when: {file: {detected_type: executable}}, action: block}
  - {id: f-door, kind: access, when: {user: {name: mallory@contoso.example}}, action: block}
  - {id: g-note, activities: view, action: audit}
""",
}


def snapshot(**more: str) -> Snapshot:
    """The shared deployment; `rules="..."` replaces rules.yaml, and so on."""
    files = FILES | {f"{name}.yaml": text.encode() for name, text in more.items()}
    return build_snapshot(build(files, "/etc/casb"))


def party(name: str = "ada@contoso.example", *tags: DeviceTag) -> Party:
    """Somebody on a device with these tags."""
    return Party(
        user=User(id=f"t/{name}", name=name), device=Device(tags=frozenset(tags)), client=Client(ip="192.0.2.7")
    )


def ids() -> Iterator[str]:
    """A1, A2, …"""
    return (f"A{number}" for number in count(1))


def exchange(of: Snapshot, app: str = "files", who: Party | None = None) -> Exchange:
    """One exchange with an app."""
    made = ids()
    return Exchange(
        snapshot=of, app=of.catalog.by_id[app], party=who or party(), clock=lambda: NOW, new_id=lambda: next(made)
    )


def get(path: str = "/", **more: object) -> RequestFacts:
    """A navigation."""
    facts = {"method": "GET", "scheme": "https", "host": "files.example", "port": 443, "path": path}
    return RequestFacts(**({"mode": RequestMode.NAVIGATION} | facts | more))  # type: ignore[arg-type]


def file(name: str, **more: object) -> ResponseFacts:
    """The head of a download."""
    facts = {"status": 200, "content_type": "application/octet-stream", "attachment": True, "filename": name}
    return ResponseFacts(**(facts | more))  # type: ignore[arg-type]
