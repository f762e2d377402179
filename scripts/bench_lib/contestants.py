"""The proxies that are compared, each on a port of its own in front of the same origin."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo_lib.processes import Child, free_port, listening

from bench_lib.load import Job
from bench_lib.process import Family
from bench_lib.upstream import ORIGIN, hosts
from casb.identity.sessions import ChildRecord, LoginRecord, dump, key_of
from casb.model.identity import Device, User
from casb.store.sessions_sqlite import SqliteSessions

SUFFIX = "casb.test"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"


@dataclass(slots=True, kw_only=True)
class Contestant:
    """A running proxy and how it is asked."""

    name: str
    child: Child
    port: int
    host: str
    authority: str
    ca: Path
    cookie: str = ""
    start_seconds: float = 0.0
    idle_bytes: int = 0
    family: Family = field(init=False)

    def __post_init__(self) -> None:
        self.family = Family(self.child.process.pid)

    def job(self, kind: str, path: str, least: int, headers: Mapping[str, str], **options: float) -> Job:
        """The same question as to the others, under this one's name."""
        sent = {"user-agent": BROWSER, "accept": "*/*", **headers}
        if self.cookie:
            sent["cookie"] = f"theme=dark; {self.cookie}"
        else:
            sent["cookie"] = "theme=dark"
        return Job(
            kind=kind,
            port=self.port,
            host=self.host,
            authority=self.authority,
            ca=str(self.ca),
            path=path,
            least=least,
            headers=sent,
            **options,  # type: ignore[arg-type]
        )


def mitmdump(folder: Path, origin_port: int, origin_ca: Path, *options: str, name: str = "mitmdump") -> Contestant:
    """mitmproxy as it comes, with its default addons, printing nothing."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = [
        f"confdir={folder}/conf",
        "flow_detail=0",
        "termlog_verbosity=error",
        f"ssl_verify_upstream_trusted_ca={origin_ca}",
        *options,
    ]
    command = [str(Path(sys.executable).with_name("mitmdump")), "--quiet", "--listen-host", "127.0.0.1"]
    command += ["--listen-port", str(port), "--mode", f"reverse:https://127.0.0.1:{origin_port}/"]
    for each in settings:
        command += ["--set", each]
    begun = time.monotonic()
    child = Child(name, command, folder / "log").wait_until(lambda: listening(port))
    return Contestant(
        name=name,
        child=child,
        port=port,
        host=ORIGIN,
        authority=ORIGIN,
        ca=folder / "conf" / "mitmproxy-ca-cert.pem",
        start_seconds=time.monotonic() - begun,
    )


def casb(
    folder: Path,
    origin_port: int,
    origin_ca: Path,
    *,
    policies: int,
    plain_core: bool = False,
    looking: str = "",
    hold: int = 50,
) -> Contestant:
    """One worker with all of session control: sign-ins, policies, rewriting for an app of 100 hosts, records.

    `looking` are further policies, which look into files; text of more than `hold` MB is judged while it passes.
    """
    port = free_port()
    name = "casb, plain core" if plain_core else "casb"
    config = folder / "config"
    (config / "apps").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "workers").mkdir(parents=True, exist_ok=True)
    (config / "casb.yaml").write_text(_DEPLOYMENT.format(port=port, suffix=SUFFIX, hold=hold))
    connect = f'{{connect: "127.0.0.1:{origin_port}", ca: {origin_ca}}}'
    (config / "apps" / "files.yaml").write_text(
        f"id: files\nname: Company Files\ndomains: [{', '.join(hosts())}]\nupstream: {connect}\n"
    )
    for number in range(_OTHER_APPS):
        text = f"id: app{number}\nname: App {number}\ndomains: [app{number}.example]\nupstream: {connect}\n"
        (config / "apps" / f"app{number}.yaml").write_text(text)
    for number, document in enumerate(policy_files(policies)):
        (config / f"policies-{number}.yaml").write_text(document)
    if looking:
        (config / "policies-looking.yaml").write_text(looking)
    host = f"{ORIGIN}.{SUFFIX}"
    cookie = _session(folder / "data", f"{host}:{port}")
    environment = {"CASB_BENCH_SECRET": "x" * 32, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    if plain_core:
        environment["CASB_PLAIN_CORE"] = "1"
    command = [sys.executable, "-O", "-m", "casb.proxy.worker", "--config", str(config)]
    begun = time.monotonic()
    child = Child(name, command, folder / "log", environment=environment).wait_until(lambda: listening(port), 60)
    return Contestant(
        name=name,
        child=child,
        port=port,
        host=host,
        authority=f"{host}:{port}",
        ca=folder / "certs" / "casb-ca.pem",
        cookie=cookie,
        start_seconds=time.monotonic() - begun,
    )


_OTHER_APPS = 24

_DEPLOYMENT = """\
version: 1
suffix: {suffix}
data: ../data
authority: ../certs
listeners: {{reverse: "127.0.0.1:{port}", forward: null}}
limits: {{hold: {hold}MB}}
providers:
  - id: bench
    authority: https://localhost:1/tenant/v2.0
    client_id: casb
    client_secret: env:CASB_BENCH_SECRET
"""

_KINDS = ("download", "upload", "view", "copy", "print", "share", "edit", "delete")


def policy_files(count: int, size: int = 250) -> Sequence[str]:
    """`count` policies in several files: each for one of 25 apps and two activities, a few of them for every app.

    One of them protects `secret.bin`; none of the others refuses what the load asks for.
    """
    chance = random.Random(7)  # noqa: S311  # the same policies in each run
    written = [
        "  - {id: protect-secret, apps: files, activities: download, when: {file: {name: secret.bin}}, action: protect}"
    ]
    apps = ["files", *(f"app{number}" for number in range(_OTHER_APPS))]
    for number in range(count - 1):
        conditions = [
            f"device: {chance.choice(('unmanaged', 'compliant', '{not: compliant}'))}",
            f"user: {{group: {{any_of: [group-{chance.randrange(40)}, group-{chance.randrange(40)}]}}}}",
            f"file: {{extension: [docx, x{number}], name: '*{number}*'}}",
        ]
        app = "" if number % 50 == 49 else f"apps: {apps[number % len(apps)]}, "
        activities = ", ".join(chance.sample(_KINDS, 2))
        action = chance.choice(("audit", "block"))
        when = ", ".join(conditions[1:] if number % 3 else conditions)
        written.append(f"  - {{id: p{number}, {app}activities: [{activities}], action: {action}, when: {{{when}}}}}")
    groups = [written[at : at + size] for at in range(0, len(written), size)]
    return ["\n".join(["version: 1", "policies:", *group]) + "\n" for group in groups]


def _session(data: Path, authority: str) -> str:
    """Put a session into the store; its cookie."""
    login, cookie, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), datetime.now(UTC)
    key = key_of(login)
    record = LoginRecord(
        id=key.hex()[:32],
        provider="bench",
        user=User(
            id="tenant/ada",
            name="ada@contoso.example",
            domain="contoso.example",
            groups=frozenset(f"team-{number}" for number in range(20)),
        ),
        device=Device(),
        started=now,
        expires=now + timedelta(hours=8),
    )
    child = ChildRecord(login=key.hex(), host=authority, app="files")

    async def keep() -> None:
        store = SqliteSessions(data)
        await store.put("login", key, dump(record), ttl=28_800, indexes=(f"login:{key.hex()}",))
        await store.put("child", key_of(cookie), dump(child), ttl=28_800, indexes=(f"login:{key.hex()}",))
        store.close()

    asyncio.run(keep())
    return f"__Host-casb_s={cookie}"
