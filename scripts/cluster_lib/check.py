"""Load, and one part after the other killed under it: no sign-in lost, no record lost or doubled, nothing unchecked."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from casb.settings import Secret
from casb.store.records_postgres import PostgresRecords
from cluster_lib.world import SALARIES, Cluster, Node
from proxy_world import NAVIGATE
from wire_world import Browser


class Broken(Exception):
    """A promise did not hold; the text says which."""


class Load:
    """People who go on asking for what policy blocks, each with a path of its own."""

    def __init__(self, cluster: Cluster, people: int) -> None:
        self.cluster = cluster
        self.outcomes: Counter[str] = Counter()
        self.blocked: set[str] = set()
        self.asked: set[str] = set()
        self.leaks: list[str] = []
        self.strangers: list[str] = []  # answers that took somebody signed in for a stranger
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._lock = threading.Lock()
        browsers = []
        for number in range(people):
            browser = cluster.browser(f"person-{number}")
            if "the app" not in browser.open(cluster.url()).text:
                raise Broken("nobody can sign in")
            browsers.append(browser)
        self.signed_in = len(cluster.idp.asked)
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in browsers]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(30)

    def _run(self, browser: Browser) -> None:
        while not self._over.is_set():
            path = f"/pay/{next(self._numbers)}"
            with self._lock:
                self.asked.add(path)
            outcome = self._ask(browser, path)
            with self._lock:
                self.outcomes[outcome] += 1
            if outcome in ("no answer", "503"):
                browser.session.close()  # a browser opens a fresh connection, too
                time.sleep(0.1)
            time.sleep(0.03)

    def _ask(self, browser: Browser, path: str) -> str:
        try:
            answer = browser.send(self.cluster.url(path), headers=NAVIGATE)
        except (requests.RequestException, OSError):
            return "no answer"
        browser.trail.clear()
        if SALARIES in answer.content:
            self.leaks.append(path)
            return "LEAK"
        if answer.is_redirect or answer.status_code == 401:
            self.strangers.append(path)
            return "sent to sign in"
        if "payroll" in answer.text and answer.status_code in (200, 403):
            with self._lock:
                self.blocked.add(path)
            return "blocked"
        return str(answer.status_code)

    def served(self) -> int:
        """How many were blocked until now."""
        return self.outcomes["blocked"]


def recorded(cluster: Cluster) -> Counter[str]:
    """How often each blocked download stands in the log."""
    log = PostgresRecords.open(Secret(cluster.postgres.conninfo))
    try:
        found: Counter[str] = Counter()
        for record in log.stream({"action": "block"}):
            found[urlsplit(record["request"]["url"]).path] += 1
        return found
    finally:
        log.close()


def goes_on(cluster: Cluster, load: Load, what: str, patience: float = 60) -> str:
    """Wait until people are served again after something was killed."""
    before = load.served()
    seconds = cluster.wait(lambda: load.served() > before + 5, f"people to be served after: {what}", patience)
    return f"{what}: served again after {seconds:.1f} s"


def play(cluster: Cluster, *, people: int = 4, calm: float = 2.0, short: bool = False) -> Iterator[str]:
    """The whole check, line by line. Raises `Broken` or `NotStarted`."""
    with Load(cluster, people) as load:
        time.sleep(calm)
        yield f"{load.served()} downloads blocked in {calm:.0f} s by two nodes"
        for scene in _scenes(cluster, load, short):
            yield scene
            if load.leaks:
                raise Broken(f"a blocked download came through: {load.leaks[:3]}")
            time.sleep(calm / 2)
    yield f"answers: {dict(load.outcomes)}"
    if load.leaks:
        raise Broken(f"a blocked download came through: {load.leaks[:3]}")
    if load.strangers or len(cluster.idp.asked) != load.signed_in:
        raise Broken(f"people had to sign in again: {load.strangers[:3]}")
    yield f"nobody of {people} had to sign in again"
    yield from _records(cluster, load)


def _scenes(cluster: Cluster, load: Load, short: bool) -> Iterator[str]:
    one, two = cluster.one, cluster.two

    begun = time.monotonic()
    cluster.write_policy("no-payroll-any-more")
    cluster.wait(lambda: versions(cluster) == 1 and changed(cluster), "the edit to be in force on both nodes", 10)
    yield f"an edit at node one is in force on both nodes after {time.monotonic() - begun:.1f} s"

    os.kill(two.workers()[0], signal.SIGKILL)
    yield goes_on(cluster, load, "kill -9 of a worker")

    two.kill_proxy()
    yield goes_on(cluster, load, "kill -9 of a whole node")
    if not short:
        two.start_proxy()
        seconds = cluster.wait(lambda: cluster.balancer.up("nodes", "two"), "the node to come back", 150)
        yield f"the node is back after {seconds:.1f} s"

    if one.sidecar is not None:
        one.sidecar.kill()
        one.sidecar.wait()
    yield goes_on(cluster, load, "kill -9 of the sidecar that serves")

    cluster.postgres.stop()
    yield goes_on(cluster, load, "PostgreSQL stopped")
    cluster.postgres.start()
    yield "PostgreSQL is back"

    cluster.redis.stop()
    time.sleep(1 if short else 3)
    cluster.redis.start()
    yield goes_on(cluster, load, "Redis stopped and started")


def versions(cluster: Cluster) -> int:
    """How many versions of the shared configuration are in force."""
    return len(_in_force(cluster))


def changed(cluster: Cluster) -> bool:
    """Whether every worker has the last edit."""
    return all(b"no-payroll-any-more" in (node.data / "in-force.json").read_bytes() for node in _nodes(cluster))


def _in_force(cluster: Cluster) -> set[str]:
    found: set[str] = set()
    for node in _nodes(cluster):
        for path in (node.data / "workers").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                found.add(json.loads(path.read_text())["version"].partition("-")[0])
    return found


def _nodes(cluster: Cluster) -> tuple[Node, Node]:
    return (cluster.one, cluster.two)


def _records(cluster: Cluster, load: Load) -> Iterator[str]:
    """What is in the log, once everything has been handed over."""

    def complete() -> bool:
        return not load.blocked - set(recorded(cluster))

    with contextlib.suppress(Exception):
        cluster.wait(complete, "all records", 40)
    found = recorded(cluster)
    lost = sorted(load.blocked - set(found))
    doubled = sorted(path for path, times in found.items() if times > 1)
    strange = sorted(set(found) - load.asked)
    if lost:
        raise Broken(f"{len(lost)} records are lost: {lost[:3]}")
    if doubled or strange:
        raise Broken(f"{len(doubled)} records are doubled ({doubled[:3]}), {len(strange)} are of nobody")
    yield f"{len(load.blocked)} blocked downloads were answered, each is in the log once ({len(found)} in all)"
