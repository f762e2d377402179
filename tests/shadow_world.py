"""Ninety days of an organisation's cloud use over the shipped catalog, put into the usage store; the same each time.

A few thousand people, two egress points and managed devices. Some apps are everybody's, most are a few people's; use
grows, weekends are quiet, some apps are new. As a program: `python tests/shadow_world.py CONFIG-FOLDER [PEOPLE]`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from casb.catalog.inventory import Local, build
from casb.discovery.streams import Kind, Stream
from casb.store.catalog_files import load_shipped
from casb.store.discovery_book import Ingest
from casb.store.discovery_frames import connection, table, write
from casb.store.discovery_service import Discovery
from usage_support import row

EVERYBODYS = (
    "microsoft-365", "microsoft-teams", "onedrive", "sharepoint", "google-workspace", "slack", "zoom", "salesforce",
    "chatgpt", "github", "dropbox", "linkedin", "youtube", "wetransfer", "notion", "miro", "figma", "jira",
    "confluence", "servicenow", "workday", "hubspot", "box", "trello", "deepl", "claude", "amazon-s3", "azure-storage",
    "aws", "mega", "pastebin", "whatsapp", "telegram", "canva", "grammarly", "gmail", "google-drive", "webex",
)  # fmt: skip
"""Ids that come first in the order of popularity, as far as the catalog has them."""

MOST_APPS = 1200

RESOURCES = ("amazon-s3", "azure-storage", "aws")

_ROWS = """
WITH people AS (SELECT i AS person, 5 + (hash(i, 11) % 26)::INT AS tastes FROM range({people}) t(i)),
picks AS (
  SELECT DISTINCT person, floor(pow((hash(person, j, 7) % 1000000) / 1e6, 2.6) * {count})::INT AS rank, min(j) AS j
  FROM people, range(30) r(j) WHERE j < tastes GROUP BY ALL
),
days AS (SELECT DATE '{until}' - d::INT AS day, d::INT AS ago FROM range({days}) s(d)),
used AS (
  SELECT p.person, p.rank, d.day, d.ago, hash(p.person, p.rank, d.ago) AS h FROM picks p, days d
  WHERE (hash(p.person, p.rank, d.ago, 3) % 1000) / 1000.0
      < (CASE WHEN p.rank < 30 THEN 0.72 ELSE 0.16 END) * (CASE WHEN dayofweek(d.day) IN (0, 6) THEN 0.12 ELSE 1 END)
      * (1.15 - 0.004 * d.ago)
    AND NOT (p.rank % 41 = 7 AND d.ago > 12)
)
SELECT '{stream}' AS stream, {in_global} AS in_global, day, a.app AS app,
  printf('%s.%s%d@corp.example', a.first[1 + person % 24], a.last[1 + (person // 24) % 24], person) AS user,
  NULL::VARCHAR AS account,
  printf('10.%d.%d.%d', 20 + person // 4000, (person // 200) % 250, 10 + person % 200) AS ip,
  CASE WHEN {devices} THEN printf('NB-%05d', person) END AS device,
  CASE WHEN a.resource THEN printf('%s:corp-%s-%d', CASE WHEN a.app = 'azure-storage' THEN 'storage-account' ELSE
    'bucket' END, (['backup', 'web', 'reports', 'exports', 'builds'])[1 + (h % 5)::INT], h % 9) END AS resource,
  (1 + h % 48)::BIGINT AS events, CASE WHEN h % 23 = 0 THEN (h % 3)::BIGINT ELSE 0 END AS blocked,
  (1500 + (h % 90000) * (1 + (h // 7) % 20) * a.pushes)::BIGINT AS up,
  (9000 + (h % 400000) * (1 + (h // 13) % 30))::BIGINT AS down, up + down AS total,
  (day::TIMESTAMP + INTERVAL 7 HOUR + to_minutes((h % 240)::INT)) AT TIME ZONE 'UTC' AS first,
  (day::TIMESTAMP + INTERVAL 12 HOUR + to_minutes((h % 360)::INT)) AT TIME ZONE 'UTC' AS last
FROM used JOIN apps a USING (rank) WHERE hash(person, 5) % 100 BETWEEN {low} AND {high}
"""

_FIRST = """anna ben cara david elif finn greta hugo ines jan kaya lena
marc nora omar paul quinn rosa sam tara uwe vera will yara""".split()
_LAST = """adler berg costa dahl ernst frank gruber haas ito jones keller lopez
maier novak olsen pohl quast roth silva tanaka ulrich vogel weber zhang""".split()


def fill(discovery: Discovery, *, people: int = 5000, days: int = 90, until: date | None = None) -> list[Stream]:
    """Put the world into the store; its streams. Some hosts of nobody's are there, too."""
    last = until or discovery.clock().date()
    apps = _ranked()
    made = []
    for name, kind, source, low, high in (
        ("Berlin firewall", Kind.INPUT, "fortigate", 0, 64),
        ("Zurich proxy", Kind.INPUT, "squid", 65, 99),
        ("Defender-managed endpoints", Kind.ENDPOINT, None, 0, 39),
    ):
        stream = discovery.input_stream(name, kind, source=source)
        _add(discovery, stream, apps, people=people, days=days, until=last, low=low, high=high)
        made.append(discovery.book.stream(stream.id) or stream)
    return made


def _ranked() -> list[str]:
    inventory = build(load_shipped(), Local(), date(2026, 1, 1))
    first = [each for each in EVERYBODYS if inventory.get(each) is not None]
    rest = sorted(
        (each.id for each in inventory if each.id not in first and each.app.domains),
        key=lambda ident: (-_fame(inventory.entries[ident].app.value("consumer_popularity")), hash_of(ident)),
    )
    return [*first, *rest][:MOST_APPS]


def _fame(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def hash_of(text: str) -> int:
    """The same in every process, unlike `hash`."""
    found = 0
    for char in text:
        found = (31 * found + ord(char)) % 1_000_003
    return found


def _add(
    discovery: Discovery,
    stream: Stream,
    apps: Sequence[str],
    *,
    people: int,
    days: int,
    until: date,
    low: int,
    high: int,
) -> None:
    ranks = pa.table(
        {
            "rank": pa.array(range(len(apps)), pa.int32()),
            "app": apps,
            "pushes": pa.array([6 if each in ("dropbox", "wetransfer", "mega", "onedrive") else 1 for each in apps]),
            "resource": pa.array([each in RESOURCES for each in apps]),
            "first": [_FIRST] * len(apps),
            "last": [_LAST] * len(apps),
        }
    )
    values = {
        "people": people, "days": days, "until": until.isoformat(), "count": len(apps), "stream": stream.id,
        "in_global": stream.kind.in_global, "devices": stream.kind is Kind.ENDPOINT, "low": low, "high": high,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="casb-world-") as folder:
        place = Path(folder, "world.parquet")
        with connection() as con:
            con.register("apps", ranks)
            write(place, con.sql(_ROWS.format(**values)).to_arrow_table())
        now = datetime.now(UTC)
        outcome = {"lines": 0, "events": 0, "matched": 0, "source": stream.source}
        ingest = Ingest(
            stream=stream.id, key=f"world {until}", time=now, name="world", catalog="world", outcome=outcome
        )
        nobodys = [(until - timedelta(days=day), f"intranet{day % 7}.corp.example", 40 + day) for day in range(days)]
        discovery.usage.add(ingest, [place], nobodys, Path(folder))


HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "a b&c?d#e%2f",
    "\u202eevil",
    "x" * 500,
)
"""Names that a log may hold; to every page they are text."""


def hostile(discovery: Discovery) -> None:
    """Put users, addresses, devices and resources of such names into a stream of their own that counts in Global."""
    stream = discovery.input_stream("=HYPERLINK(<b>)", Kind.INPUT)
    today = discovery.clock().date()
    rows = [
        row("dropbox", name, f"2001:db8::{index}", stream=stream.id, day=today, device=name, resource=f"bucket:{name}")
        for index, name in enumerate(HOSTILE)
    ]
    with tempfile.TemporaryDirectory(prefix="casb-hostile-") as folder:
        write(Path(folder, "spill.parquet"), table(rows))
        ingest = Ingest(
            stream=stream.id, key="hostile", time=discovery.clock(), name="h", catalog="world", outcome={"lines": 6}
        )
        discovery.usage.add(ingest, [Path(folder, "spill.parquet")], [], Path(folder))


def main() -> None:
    """Fill the discovery of a configuration folder."""
    from casb.store.folder import load
    from casb.store.token import data_folder

    settings = load(sys.argv[1]).settings
    data_folder(settings)
    discovery = Discovery(settings, lambda: datetime.now(UTC))
    fill(discovery, people=int(sys.argv[2]) if len(sys.argv) > 2 else 5000)
    discovery.close()


if __name__ == "__main__":
    main()
