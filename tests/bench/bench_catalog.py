"""What a look-up in the catalog costs against one dictionary look-up, at two sizes; and scoring, loading, tagging.

Run: `PYTHONPATH=addons:tests python tests/bench/bench_catalog.py`. Absolute figures are noise; the ratios count.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from casb.catalog.domains import DomainIndex, Layer
from casb.catalog.factors import CATEGORIES, FACTORS, Kind
from casb.catalog.known import Fact, KnownApp, KnownApps, Source, Value
from casb.catalog.metrics import DEFAULTS
from casb.catalog.score import Scorer
from casb.model.app import AppTag
from casb.settings import Settings
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_files import load_shipped
from casb.store.catalog_sqlite import Actor
from casb.store.records_sqlite import Database
from catalog_support import DAY, NOW

LOOK_UPS = 20_000
KNOWN_FACTS = 30  # a factor in three is known


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def patterns(count: int, rng: random.Random) -> list[str]:
    """Hosts, wildcards and paths as catalogs have them."""
    made = []
    for number in range(count):
        name = f"{rng.choice(('app', 'www', 'api', 'files'))}{number}.vendor{number % 9973}.example"
        made.append(rng.choice((name, f"*.{name}", f"*.{name}", f"{name}/drive")))
    return list(dict.fromkeys(made))


def hosts(known: Sequence[str], rng: random.Random) -> list[tuple[str, str]]:
    """Hosts and paths that logs have: known ones, names below wildcards, spelt otherwise, unknown, addresses."""
    made = []
    for number in range(LOOK_UPS):
        host = rng.choice(known).partition("/")[0].removeprefix("*.")
        made.append(
            rng.choice(
                (
                    (host, "/drive/q1.xlsx?download=1"),
                    (f"eu-{number % 7}.{host}", "/"),
                    (f"{host.upper()}.:443", "/a"),
                    (f"cdn{number}.nobody{number % 500}.test", "/x"),
                    (f"198.51.{number % 100}.{number % 250}", ""),
                )
            )
        )
    return made


def measure(run: Callable[[], object], rounds: int = 5) -> float:
    """The median seconds of processor time of a run: other programs do not count."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        run()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def look_ups() -> None:
    rng = random.Random(7)  # noqa: S311 - numbers to measure with
    for size in (1_000, 60_000, 240_000):
        known = patterns(size, rng)
        networks = [(f"198.{a}.{b}.0/24", f"n{a}.{b}") for a in range(18, 20) for b in range(250)]
        index = DomainIndex(Layer([("*.custom.test", "own")]), Layer([(each, each) for each in known], networks))
        asked = hosts(known, rng)
        plain = {host: host for host, _ in asked}

        def matching(index: DomainIndex[str] = index, asked: list[tuple[str, str]] = asked) -> None:
            for host, path in asked:
                index.match(host, path)

        def dictionary(plain: dict[str, str] = plain, asked: list[tuple[str, str]] = asked) -> None:
            for host, _ in asked:
                plain.get(host)

        ours, floor = measure(matching), measure(dictionary)
        micro = ours / LOOK_UPS * 1e6
        say(f"{len(known):>8} patterns: {micro:5.1f} us a look-up, {ours / floor:5.1f} dictionary look-ups")


def app(number: int, rng: random.Random) -> KnownApp:
    facts: dict[str, Fact] = {}
    for name in rng.sample(list(FACTORS), KNOWN_FACTS):
        facts[name] = Fact(value=value(name, rng), source=Source.VENDOR_DOCUMENTATION, as_of="2025-06")
    return KnownApp(
        id=f"app{number}",
        name=f"App {number}",
        category=rng.choice(list(CATEGORIES)),
        domains=(f"app{number}.example", f"*.app{number}.example"),
        facts=facts,
    )


def value(name: str, rng: random.Random) -> Value:
    factor = FACTORS[name]
    match factor.kind:
        case Kind.FLAG:
            return rng.random() < 0.5
        case Kind.ENUM:
            return rng.choice(factor.values)
        case Kind.FLAGS:
            return tuple((each, rng.random() < 0.5) for each in factor.values)
        case Kind.YEAR:
            return rng.randrange(1980, 2026)
        case Kind.NUMBER:
            return float(rng.randrange(11))
        case Kind.DATE:
            return (DAY - timedelta(days=rng.randrange(9000))).isoformat()
        case Kind.LIST:
            return (rng.choice(factor.values or ("x",)),)
    return "https://x.example/"


def scores(count: int) -> None:
    rng = random.Random(7)  # noqa: S311 - numbers to measure with
    apps = {each.id: each for each in (app(number, rng) for number in range(count))}

    def count_facts() -> int:
        return sum(1 for each in apps.values() for _ in each.facts.values())

    def score() -> None:
        scorer = Scorer(DEFAULTS, DAY)
        for each in apps.values():
            scorer.score(each)

    ours, floor = measure(score, 3), measure(count_facts, 3)
    say(f"scoring {count} apps: {ours:.2f} s, {ours / floor:.1f} times walking over their values")
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "casb.db")
        settings = Settings(suffix="casb.example", data=folder)
        catalog = AppCatalog(database, KnownApps(version="x", by_id=apps), settings, lambda: NOW)
        begun = time.process_time()
        task = catalog.recalculate(Actor(who="bench"))
        say(f"recalculation as a task, kept and put in force: {time.process_time() - begun:.2f} s, {task.message}")
        begun = time.process_time()
        catalog.tag(["app1"], AppTag.UNSANCTIONED, Actor(who="bench"))
        say(f"one tag, audited and put in force, in that catalog: {time.process_time() - begun:.2f} s")
        database.close()


def loading() -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        known = load_shipped(Path(folder))
        first = time.process_time() - begun
        again = measure(lambda: load_shipped(Path(folder)))
    say(f"shipped catalog, {len(known)} apps: compiled in {first * 1000:.0f} ms, loaded in {again * 1000:.0f} ms")


if __name__ == "__main__":
    look_ups()
    loading()
    scores(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
