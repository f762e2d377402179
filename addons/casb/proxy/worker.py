"""A worker process: `python -m casb.proxy.worker --config DIR`. Started, watched and healed by the supervisor.

It ends when its standard input does, so that no worker outlives its supervisor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mitmproxy.master import Master

from casb.connectors.certificates import DeviceCertificates
from casb.connectors.directory import Directory
from casb.connectors.events import EventReceiver
from casb.connectors.oidc import OidcProvider
from casb.connectors.signin import IdentityProvider, SignIn
from casb.control.asked import groups_digest, named_groups
from casb.control.snapshot import Snapshot
from casb.identity.groups import in_scope
from casb.model.decision import Action
from casb.model.record import Record
from casb.ports import SessionStore
from casb.protection.encrypt import AgeProtector
from casb.proxy import master as mitm
from casb.proxy import saml
from casb.proxy.bodies import Bodies
from casb.proxy.certificates import Authority
from casb.proxy.converting import Converter
from casb.proxy.enforcement import Tags, load_tags
from casb.proxy.engines import follow as follow_engines
from casb.proxy.incidents import incident
from casb.proxy.record import spool_lines, spool_log
from casb.proxy.reload import Folder, Published, Reload, Source, snapshot_of
from casb.proxy.runtime import Log, Runtime, now, untold
from casb.proxy.scanning import Scanner
from casb.proxy.streaming import StreamWorkers
from casb.proxy.tunnels import spool_tunnels
from casb.settings import Settings
from casb.store.bypasses import Bypasses
from casb.store.held import Held
from casb.store.keyring import Keyring
from casb.store.protected_sqlite import ProtectedFiles
from casb.store.sessions import close_sessions, open_sessions
from casb.store.spool import Spool

logger = logging.getLogger(__name__)


def authority_of(settings: Settings) -> str:
    """The sign-in host as browsers name it."""
    return settings.address_of(settings.login_host).removeprefix("https://")


def providers(snapshot: Snapshot, store: SessionStore) -> list[IdentityProvider]:
    """The identity providers of the configuration."""
    settings = snapshot.settings
    back = f"{settings.address_of(settings.login_host)}/.casb/oidc/callback"
    return [
        saml.provider(each, snapshot, store)
        if each.kind == "saml"
        else OidcProvider(each, redirect_uri=back, clock=now, keep=saml.attributes_told(snapshot))
        for each in settings.providers
    ]


def follow_providers(runtime: Runtime) -> None:
    """Sign in at the providers that the newest configuration names."""
    used = _of_providers(runtime.snapshot)
    endings: set[asyncio.Future[None]] = set()

    def swapped(snapshot: Snapshot) -> None:
        nonlocal used
        if _of_providers(snapshot) != used:
            used = _of_providers(snapshot)
            old = runtime.sign_in.providers.values()
            runtime.sign_in.providers = {each.settings.id: each for each in providers(snapshot, runtime.sessions)}
            for each in old:
                closing = asyncio.ensure_future(each.close())
                endings.add(closing)
                closing.add_done_callback(endings.discard)

    runtime.on_swap.append(swapped)


def _of_providers(snapshot: Snapshot) -> tuple[object, ...]:
    """What providers are made of."""
    return snapshot.settings.providers, saml.attributes_told(snapshot)


def follow_transmitters(runtime: Runtime) -> None:
    """Take security events of those that the newest configuration names."""
    used: tuple[object, ...] = ()
    endings: set[asyncio.Future[None]] = set()

    def swapped(snapshot: Snapshot) -> None:
        nonlocal used
        settings = snapshot.settings
        if (settings.security_events, settings.providers) == used:
            return
        used = (settings.security_events, settings.providers)
        old, runtime.events = runtime.events, None
        if settings.security_events:
            store, live = runtime.sessions, runtime.sign_in
            runtime.events = EventReceiver(
                settings.security_events, settings.providers, store=store, live=live, clock=now
            )
        if old is not None:
            closing = asyncio.ensure_future(old.close())
            endings.add(closing)
            closing.add_done_callback(endings.discard)

    swapped(runtime.snapshot)
    runtime.on_swap.append(swapped)


def follow_certificates(runtime: Runtime) -> None:
    """Believe device certificates as the newest configuration says."""
    used: object = None

    def swapped(snapshot: Snapshot) -> None:
        nonlocal used
        settings = snapshot.settings.client_certificates
        if settings == used:
            return
        used, old = settings, runtime.certificates
        runtime.certificates = None if settings is None else DeviceCertificates(settings, clock=now)
        if old is not None:
            old.close()

    swapped(runtime.snapshot)
    runtime.on_swap.append(swapped)


def follow_directory(runtime: Runtime) -> None:
    """Look people and devices up as the newest configuration says."""
    endings: set[asyncio.Future[None]] = set()
    used: object = None
    watching: asyncio.Future[None] | None = None
    told: dict[str, str] = {}

    def tell(directory: Directory) -> None:
        nonlocal told
        found = directory.problems()
        for name in told.keys() - found.keys():
            runtime.checks.pop(name, None)
        for name, text in found.items():
            if told.get(name) != text:
                incident(
                    runtime, code=next((each for each in ("I042", "I040") if each in text), "I043"), fact=text, ip=""
                )
        runtime.checks.update(found)
        told = found

    def swapped(snapshot: Snapshot) -> None:
        nonlocal used, watching
        settings, named = snapshot.settings, named_groups(snapshot)
        wanted = (settings.providers, settings.device_inventory, settings.groups_file, named)
        if wanted == used:
            return
        used, old = wanted, runtime.directory
        digest = groups_digest(named)
        directory = Directory(settings, named, groups_for=digest)
        runtime.directory, runtime.sign_in.enrich, runtime.sign_in.groups_for = directory, directory.known, digest
        if watching is not None:
            watching.cancel()
        ending = [] if old is None else [asyncio.ensure_future(old.close())]
        watching = asyncio.ensure_future(directory.watch_contexts(lambda: tell(directory)))
        for each in (watching, *ending):
            endings.add(each)
            each.add_done_callback(endings.discard)

    swapped(runtime.snapshot)
    runtime.on_swap.append(swapped)


def scoped(runtime: Runtime, log: Log) -> Log:
    """Leave out what people who are not in scope do and no policy is about (`scope` of casb.yaml)."""

    def write(record: Record) -> None:
        scope = runtime.snapshot.settings.scope
        activity, decision = record.activity, record.decision
        if scope.include or scope.exclude:
            free = decision.action is Action.ALLOW and not decision.matched and not decision.reasons
            if free and activity.app is not None and not in_scope(scope, activity.user, activity.app.id):
                runtime.counters["out_of_scope"] += 1
                return
        log(record)

    return write


def follow_limits(runtime: Runtime) -> None:
    """Hold what the configuration in force allows."""

    def swapped(snapshot: Snapshot) -> None:
        limits = snapshot.settings.limits
        if runtime.bodies is not None:
            runtime.bodies.file = limits.spool_file
            runtime.bodies.held.budget, runtime.bodies.held.floor = limits.spool_total, limits.spool_free

    runtime.on_swap.append(swapped)


def build_runtime(snapshot: Snapshot, data: Path) -> tuple[Runtime, Spool]:
    """All services of one worker over the deployment's data folder."""
    settings = snapshot.settings
    keyring = Keyring.load_or_create(data)
    sessions = open_sessions(settings, data)
    spool = Spool(data / "spool", f"worker-{os.getpid()}", durable=True)
    limits = settings.limits
    held = Held(Path(limits.spool_folder or data / "held"), budget=limits.spool_total, floor=limits.spool_free)
    held.prepare()
    bodies = Bodies(held, file=limits.spool_file)

    runtime = Runtime(
        close=bodies.close,
        snapshot=snapshot,
        sessions=sessions,
        sign_in=SignIn(
            store=sessions,
            providers=providers(snapshot, sessions),
            login_host=authority_of(settings),
            clock=now,
            limits=settings.session,
        ),
        authority=Authority.load_or_create(Path(settings.authority)),
        keyring=keyring,
        protector=AgeProtector(keyring.wrap, os.urandom, settings.recovery_recipient),
        scanner=Scanner(),
        converter=Converter(),
        protected=ProtectedFiles(data),
        tell=spool_lines(spool),
        log=spool_log(spool),
        bypasses=Bypasses(data),
        bodies=bodies,
        streams=StreamWorkers(),
        tags=load_tags(data),  # unreadable: the worker does not start, for it would block nothing
        tunnelled=spool_tunnels(spool) if settings.discovery.proxy_stream else untold,
    )
    follow_providers(runtime)
    follow_transmitters(runtime)
    follow_certificates(runtime)
    follow_directory(runtime)
    runtime.log = scoped(runtime, runtime.log)
    follow_limits(runtime)
    follow_engines(runtime)
    return runtime, spool


class Status:
    """Says once a second, in a small file, how this worker is: the supervisor serves it as health and metrics."""

    def __init__(self, runtime: Runtime, spool: Spool, path: Path) -> None:
        self.runtime, self.spool, self.path = runtime, spool, path
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """All listeners are open."""
        self._task = asyncio.get_running_loop().create_task(self._tell())

    def done(self) -> None:
        """Say no more."""
        if self._task is not None:
            self._task.cancel()
        self.path.unlink(missing_ok=True)

    async def _tell(self) -> None:
        while True:
            try:
                begun = time.perf_counter()
                await asyncio.to_thread(self.spool.sync)
                self.write(time.perf_counter() - begun)
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("status not written")
                await asyncio.sleep(1)

    def write(self, flush: float) -> None:
        """One status, atomically."""
        status: dict[str, Any] = {
            "pid": os.getpid(),
            "time": time.time(),
            "version": self.runtime.snapshot.version,
            "problems": [*self.runtime.problems, *self.runtime.checks.values()][:50],
            "counters": dict(self.runtime.counters),
            "flush_seconds": round(flush, 4),
        }
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(status))
        draft.replace(self.path)


async def run(source: Source, ready: Callable[[Master], None] = lambda master: None) -> None:
    """Serve until the master is shut down; `ready` gets it before it listens."""
    snapshot = snapshot_of(source.load())
    data = Path(snapshot.settings.data)
    runtime, spool = build_runtime(snapshot, data)
    status = Status(runtime, spool, data / "workers" / f"{os.getpid()}.json")
    server = mitm.build(runtime)
    server.addons.add(Reload(runtime, source), Tags(runtime, data), status)
    ready(server)
    try:
        await server.run()
    finally:
        await server.addons.get("proxyserver").servers.update([])
        await runtime.scanner.close()
        if runtime.streams is not None:
            await runtime.streams.close()
        await runtime.converter.close()
        spool.close()
        runtime.close()
        await close_sessions(runtime.sessions)


async def supervised(source: Source) -> None:
    """Serve until a signal says stop, or the supervisor is gone."""
    watches = []

    def ready(server: Master) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, server.shutdown)
        watches.append(loop.create_task(_watch_input(server)))

    try:
        await run(source, ready)
    finally:
        for watch in watches:
            watch.cancel()


async def _watch_input(server: Master) -> None:
    """Stop when the supervisor is gone: our standard input is a pipe from it."""
    if sys.stdin is None or sys.stdin.isatty():
        return
    with contextlib.suppress(OSError):
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        await reader.read()
        transport.close()
        server.shutdown()


def main() -> int:
    """Exit status 0 after a clean stop."""
    parser = argparse.ArgumentParser(prog="casb.proxy.worker")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--config", type=Path, help="follow this folder")
    which.add_argument("--in-force", type=Path, help="follow what the supervisor publishes in this file")
    arguments = parser.parse_args()
    source = Published(arguments.in_force) if arguments.in_force else Folder(arguments.config.resolve())
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format=f"%(asctime)s level=%(levelname)s worker={os.getpid()} logger=%(name)s %(message)s",
    )
    logging.getLogger("mitmproxy").setLevel(logging.ERROR)
    asyncio.run(supervised(source))
    return 0


if __name__ == "__main__":
    sys.exit(main())
