"""Records accepted per second through the sidecar's HTTP door, against a bare batched INSERT in the same run.

Run by hand: `python tests/bench/bench_records.py [RECORDS]`. The ratio counts, the numbers are this machine's.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "addons"), str(HERE.parents[1])]

import orjson  # noqa: E402 - after the path has been set
import psycopg  # noqa: E402
import requests  # noqa: E402

from casb.settings import Secret, Settings  # noqa: E402
from casb.sidecar.app import build_app  # noqa: E402
from casb.sidecar.ingest import take  # noqa: E402
from casb.sidecar.server import bind, server  # noqa: E402
from casb.sidecar.services import Services  # noqa: E402
from casb.store.alerts_sqlite import AlertStore  # noqa: E402
from casb.store.portal_sqlite import PortalStore  # noqa: E402
from casb.store.records_postgres import PostgresRecords  # noqa: E402
from casb.store.records_sqlite import Database, SqliteRecords  # noqa: E402
from casb.store.spool import Spool  # noqa: E402
from sample_records import records  # noqa: E402
from sidecar_parts import FixedDeployment  # noqa: E402
from usage_support import emptied, postgres  # noqa: E402

BATCH = 500
ROUNDS = 5


def bare(folder: Path) -> Callable[[list[bytes]], None]:
    """One table, one primary key, one transaction per batch, durable: the least that keeps a record once."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE log (id TEXT PRIMARY KEY, record TEXT NOT NULL)")

    def insert(lines: list[bytes]) -> None:
        rows = [(orjson.loads(line)["id"], line.decode()) for line in lines]
        connection.execute("BEGIN")
        connection.executemany("INSERT OR IGNORE INTO log VALUES (?, ?)", rows)
        connection.execute("COMMIT")

    return insert


def bare_postgres(conninfo: str) -> Callable[[list[bytes]], None]:
    """The same in PostgreSQL."""
    connection = psycopg.connect(conninfo)
    connection.execute("CREATE TABLE bare (id text PRIMARY KEY, record text NOT NULL)")
    connection.commit()

    def insert(lines: list[bytes]) -> None:
        rows = [(orjson.loads(line)["id"], line.decode()) for line in lines]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO bare VALUES (%s, %s) ON CONFLICT DO NOTHING", rows)
        connection.commit()

    return insert


def in_postgres(lines: list[bytes]) -> str:
    """What the sidecar makes of a batch with PostgreSQL behind it, without HTTP, against the bare insert."""
    batches = [lines[at : at + BATCH] for at in range(0, len(lines), BATCH)]
    with postgres() as conninfo:
        log = PostgresRecords.open(emptied(conninfo))
        bare_rate = timed(bare_postgres(conninfo), batches)

        def taken(batch: list[bytes]) -> None:
            take(b"\n".join(batch), log)

        rate = timed(taken, batches)
        log.close()
    return f"PostgreSQL: bare {bare_rate:,.0f} records/s, casb {rate:,.0f} records/s x{rate / bare_rate:.2f}\n"


def timed(work: Callable[[list[bytes]], None], batches: list[list[bytes]]) -> float:
    """Records per second."""
    begin = time.perf_counter()
    for batch in batches:
        work(batch)
    return sum(map(len, batches)) / (time.perf_counter() - begin)


def main(count: int = 20_000) -> None:
    lines = [orjson.dumps(record) for record in records(count)]
    per_round = count // ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(folder / "casb.db")
        token = "t" * 40
        services = Services(
            settings=Settings(suffix="bench.example", data=name),
            records=SqliteRecords(database),
            portal=PortalStore(database),
            alerts=AlertStore(database),
            deployment=FixedDeployment(),
            ingest_token=Secret(token),
            clock=lambda: datetime.now(UTC),
        )
        listener = bind("127.0.0.1:0")
        running = server(build_app(services))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/records"
        spool = Spool(folder / "spool", "bench")

        def over_http(batch: list[bytes]) -> None:
            session.post(url, data=b"\n".join(batch), timeout=60).raise_for_status()

        def spooled(batch: list[bytes]) -> None:
            for line in batch:
                spool.append(line)

        ways = {"bare INSERT": bare(folder), "sidecar": over_http, "spool append": spooled}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for start in range(0, count, per_round):
            part = lines[start : start + per_round]
            batches = [part[at : at + BATCH] for at in range(0, len(part), BATCH)]
            for way, work in ways.items():
                rates[way].append(timed(work, batches))
        stored = services.records.total()
        running.should_exit = True
        thread.join()
        listener.close()
        session.close()
        spool.close()
        database.close()
    base = statistics.median(rates["bare INSERT"])
    size = sum(map(len, lines)) // count
    sys.stdout.write(f"{stored} records of {size} bytes, batches of {BATCH}, median of {ROUNDS} rounds\n")
    sys.stdout.write(in_postgres(lines))
    for way, values in rates.items():
        rate = statistics.median(values)
        sys.stdout.write(f"{way:<14}{rate:>12,.0f} records/s {1e6 / rate:>8.1f} us each   x{rate / base:.2f}\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
