"""The fast lane gives what the parser gives, whatever the lines are."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import PARSERS, read
from casb.discovery.shaping import Shaper
from casb.discovery.streams import Kind, Stream
from casb.discovery.usage import Window
from casb.store import discovery_lane
from casb.store.discovery_frames import LARGEST
from casb.store.discovery_pieces import Piece
from casb.store.discovery_run import Job, Part, work

NOW = datetime(2024, 5, 20, tzinfo=UTC)
VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "logs"
SAMPLES = [line for file in sorted(VECTORS.glob("*.log")) for line in file.read_bytes().splitlines()]
OTHERS = [line.encode() for parser in PARSERS.values() for line in parser.sample.split("\n")]


class Apps:
    """A few apps: by host, by path, by address, with resources; and hosts that nobody owns."""

    def app(self, host: str | None, url: str | None, address: str | None) -> str | None:
        if host is None:
            return "cdn" if address and address.endswith((".7", "::7")) else None
        if host == "shared.example":
            return "two" if url and "/two" in url else "one"
        if host.endswith((".amazonaws.com", "box.example")):
            return "aws" if host.endswith("s.com") else "box"
        return None

    def by_path(self, host: str) -> bool:
        return host == "shared.example"


STREAM = Stream(id="s", name="s", kind=Kind.SNAPSHOT, created=NOW, modified=NOW)


def summed(path: Path, scratch: Path, *, fast: bool, window: Window) -> tuple[Any, ...]:
    job = Job(read=read, matcher=Apps(), shaper=Shaper(stream=STREAM), now=NOW, window=window, fast=fast)
    part: Part = work(Piece(path=str(path)), job, scratch, int(fast), lambda count: None)
    rows: dict[tuple[Any, ...], list[Any]] = {}
    for spill in part.spills:
        for row in pq.read_table(spill).to_pylist():
            values = list(row.values())
            sums = rows.setdefault(tuple(values[:9]), [0, 0, 0, 0, 0, values[14], values[15]])
            for at in range(5):
                sums[at] = min(sums[at] + values[9 + at], LARGEST)  # as merging does
            sums[5], sums[6] = min(sums[5], values[14]), max(sums[6], values[15])
    unmatched: Counter[Any] = Counter()
    for day, host, count in part.unmatched:
        unmatched[day, host] += count
    return rows, part.counts, unmatched, part.source, part.confidence, part.error


def line(rng: random.Random) -> bytes:
    host = rng.choice(
        ("box.example", "www.box.example", "shared.example", "b.s3.amazonaws.com", "s3.amazonaws.com", "x.example")
    )
    client = rng.choice(("192.0.2.10", "2001:db8::1", "pc1.corp.example", "192.0.2.11"))
    user = rng.choice(("alice", "-", "CORP\\bob", "a%20b", "anonymous"))
    result = rng.choice(("TCP_MISS/200", "TCP_TUNNEL/200", "TCP_DENIED/403", "NONE/403", "TAG_NONE/000", "TCP_HIT"))
    way = rng.choice(
        ("HIER_DIRECT/198.51.100.7", "HIER_NONE/-", "FIRSTUP_PARENT/2001:db8::7", "DIRECT/name.example", "x")
    )
    url = rng.choice(
        (f"http://{host}/two/a?b=c", f"https://{host}:8443/up", f"{host}:443", f"ftp://{host}/x", f"http://{host}?x=/y",
         f"http://bob@{host}/", "http://198.51.100.7/two", "[2001:db8::7]:443", "error:invalid-request",
         f"HTTP://{host}/", "/x")
    )  # fmt: skip
    time = 1714979289 + rng.randrange(200_000) / 7
    tail = rng.choice(("text/html", "-", "", "text/html extra", "-\r"))
    size = rng.choice((0, 815, 4711, 99_999_999_999, "-", "1e3", "+5"))
    text = f"{time:.3f} {rng.randrange(9999):6d} {client} {result} {size} GET {url} {user} {way} {tail}"
    return text.rstrip(" ").encode()


PLAIN = b"\n".join(
    b"%d.586    921 192.0.2.10 TCP_MISS/200 4711 POST https://box.example/up alice HIER_DIRECT/- -" % (1714979289 + at)
    for at in range(1500)
)


def broken(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    piece = rng.choice(
        (
            b" ",
            b"  ",
            b"\t",
            b"\0",
            b"\r",
            b"\x1c",
            b"\xc3\xa9",
            b"\xff",
            b"\x7f",
            b"{",
            b"9",
            b"/",
            b'"',
            b"\n",
            b"\x85",
        )
    )
    return text[:at] + piece + text[at + rng.randrange(3) :]


def mixed(seed: int, json: bool) -> bytes:
    rng = random.Random(seed)  # noqa: S311 - test data
    lines = [PLAIN]
    for _ in range(300):
        kind = rng.random()
        if kind < 0.55:
            lines.append(line(rng))
        elif kind < 0.8:
            lines.append(broken(rng, line(rng)))
        elif kind < 0.97 or json:
            other = rng.choice(SAMPLES + OTHERS)
            lines.append(other if json or other[:1] not in b"[{]" else b"")
        else:
            lines.append(rng.choice((b"", b" ", b"x" * 5000)))
    return b"\n".join(lines) + rng.choice((b"", b"\n"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.sampled_from((700, 4096, 1 << 20)), st.booleans())
def test_the_lane_gives_what_the_parser_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, json: bool, block: int, bounded: bool
) -> None:
    folder = tmp_path_factory.mktemp("lane")
    path = folder / "access.log"
    path.write_bytes(mixed(seed, json))
    window = Window()
    if bounded:
        since = datetime.fromtimestamp(1714979289.586 + 3600, UTC)
        window = Window(since=since, newest=since + timedelta(hours=4), oldest=since - timedelta(minutes=30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery_lane, "HEAD", 80 * 1024)
        patch.setattr(discovery_lane, "BLOCK", block)
        assert summed(path, folder, fast=True, window=window) == summed(path, folder, fast=False, window=window)


def test_plain_lines_do_take_the_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"\n".join([PLAIN] * 4) + b"\n")
    taken: list[int] = []
    take = discovery_lane.SquidLane.take

    def watched(lane: discovery_lane.SquidLane, block: bytes) -> bytes | None:
        left = take(lane, block)
        taken.append(0 if left is None else block.count(b"\n") - len(left.split()))
        return left

    monkeypatch.setattr(discovery_lane.SquidLane, "take", watched)
    rows, counts, *_ = summed(path, tmp_path, fast=True, window=Window())
    assert counts.lines == counts.events == counts.matched == 6000
    assert sum(taken) > 4000
    assert [sums[0] for sums in rows.values()] == [6000]


def test_rows_are_given_away_before_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_lane, "FULL", 100)
    monkeypatch.setattr(discovery_lane, "BLOCK", 10_000)
    path = tmp_path / "access.log"
    path.write_bytes(
        b"\n".join([PLAIN, *(each.replace(b"alice", b"user%d" % at) for at, each in enumerate(PLAIN.split(b"\n")))])
    )
    fast = summed(path, tmp_path, fast=True, window=Window())
    assert len(fast[0]) == 1501
    assert fast == summed(path, tmp_path, fast=False, window=Window())


def test_sums_beyond_64_bits_do_not_happen(tmp_path: Path) -> None:
    big = PLAIN.replace(b" 4711 ", b" 9999999999 ")
    path = tmp_path / "access.log"
    path.write_bytes(PLAIN + b"\n" + big + b"\n" + PLAIN.replace(b" 4711 ", b" 99999999999999999999 "))
    (sums,) = summed(path, tmp_path, fast=True, window=Window())[0].values()
    assert sums == next(iter(summed(path, tmp_path, fast=False, window=Window())[0].values()))
