"""Short ways to write activities and policies in tests."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import Any

from casb.model.activity import Activity, ActivityType, TextFacts
from casb.model.app import App
from casb.model.file import FileFacts
from casb.model.identity import Client, Device, DeviceTag, User
from casb.policy.compile import Policies, Policy, compile_policies
from casb.policy.loader import load
from casb.policy.vocabulary import AFTERWARDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILES = App(id="files", name="Files", domains=("files.example",))
ADA = User(id="t/ada", name="ada@contoso.example", domain="contoso.example", groups=frozenset({"Finance"}), tenant="T1")


def activity(
    kind: str = "download",
    *,
    app: App | None = FILES,
    user: User | None = ADA,
    tags: tuple[str, ...] = (),
    device: Device | None = None,
    client: Client | None = None,
    file: FileFacts | str | None = None,
    text: TextFacts | None = None,
    contexts: tuple[str, ...] = (),
) -> Activity:
    """An activity of Ada in the files app, from an unmanaged device, unless said otherwise."""
    if isinstance(file, str):
        file = FileFacts(name=file, extension=file.rpartition(".")[2], size=1000)
    return Activity(
        id="01",
        time=NOW,
        type=ActivityType(kind),
        app=app,
        user=user,
        device=device or Device(tags=frozenset(DeviceTag(tag) for tag in tags)),
        client=client or Client(ip="192.0.2.1"),
        file=file,
        text=text,
        auth_contexts=frozenset(contexts),
    )


def read_file(name: str = "a.bin", **facts: Any) -> FileFacts:
    """A file whose content has been read."""
    return FileFacts(name=name, extension=name.rpartition(".")[2], inspected=True, **{"size": 1000, **facts})


def policies(text: str) -> Policies:
    """Policies from the items of a `policies` list."""
    body = textwrap.indent(textwrap.dedent(text).strip("\n"), "  ")
    return compile_policies(load({"p.yaml": f"version: 1\npolicies:\n{body}\n".encode()}).policies)


def policy_when(when: str, action: str = "block", more: str = "") -> Policies:
    """One policy `p` with these conditions (YAML on one line)."""
    return policies(f"- {{id: p, action: {action}, when: {{{when}}}{', ' + more if more else ''}}}")


def afterwards_when(when: str) -> Policy:
    """One activity policy `p` with these conditions (YAML on one line)."""
    return policies(f"- {{id: p, kind: activity, action: audit, when: {{{when}}}}}").afterwards[0]


def policy_for(code: str, when: str) -> Policy:
    """A policy of a kind that can ask for the field `code`."""
    return afterwards_when(when) if code in AFTERWARDS else policy_when(when).all[0]
