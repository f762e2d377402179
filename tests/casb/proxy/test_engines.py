"""Malware engines in front of uploads and downloads: EICAR both ways, engines that are away, rules that change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from casb.inspection.malware import read_feeds
from casb.model.file import EngineVerdict, FileFacts, Verdict, VerdictStatus
from casb.proxy.engines import pieces_of, with_engines
from engine_peers import EICAR, clamd
from proxy_world import FETCH, NAVIGATE, World, reply, wait_for, world

POLICIES = """\
version: 1
policies:
  - id: no-malware
    activities: [upload, download]
    when: {file: {malware: true}}
    action: block
    message: "{file} looks like malware."
"""
RULE = 'rule Marked { strings: $a = "casb-evil" condition: $a }\n'


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("engines")
    with clamd(folder / "clamd") as daemon, world(folder / "world", start=False) as made:
        (made.config / "rules").mkdir(parents=True)
        (made.config / "rules" / "own.yar").write_text(RULE)
        (made.config / "feed.txt").write_text(f"{hashlib.sha256(b'known bad').hexdigest()} Known.Bad\n")
        engines = f"malware: {{clamd: 'unix:{daemon}', yara: [rules], hashes: [feed.txt]}}\n"
        made.write("casb.yaml", (made.config / "casb.yaml").read_text() + engines)
        made.write("p.yaml", POLICIES)
        made.start()
        yield made


def offer(made: World, path: str, body: bytes) -> None:
    headers = {"content_type": "application/octet-stream", "content_disposition": 'attachment; filename="a.bin"'}
    made.origin.routes[path] = lambda handler, _body: reply(handler, 200, body, **headers)


CASES = [
    ("clean", b"hello", None),
    ("eicar", EICAR, ("clamav", "Eicar-Test-Signature.UNOFFICIAL")),
    ("large", b"x" * 600_000 + b"CASB-MALWARE-MARKER", ("clamav", "Casb.Test.Marker.UNOFFICIAL")),
    ("rule", b"some casb-evil text", ("yara", "Marked")),
    ("feed", b"known bad", ("hash feed", "Known.Bad")),
]


@pytest.mark.parametrize(("name", "body", "found"), CASES, ids=[each[0] for each in CASES])
def test_downloads(scanned: World, name: str, body: bytes, found: tuple[str, str] | None) -> None:
    offer(scanned, f"/{name}", body)
    got = scanned.ask(f"/{name}", cookie=scanned.session(), headers=NAVIGATE)
    if found is None:
        assert got.body == body
        return
    assert body not in got.body and "looks like malware" in got.text
    record = scanned.record(got.headers["x-casb-activity"])
    assert record["file"]["verdict"]["status"] == "malicious"
    hits = [each for each in record["file"]["malware"] if each["status"] == "malicious"]
    assert [(each["engine"], each["threat"]) for each in hits] == [found]


@pytest.mark.parametrize(("name", "body", "found"), CASES, ids=[each[0] for each in CASES])
def test_uploads_never_reach_the_origin(scanned: World, name: str, body: bytes, found: tuple[str, str] | None) -> None:
    scanned.origin.page("/up", b"ok")
    before = len(scanned.origin.seen)
    headers = {**FETCH, "content-type": "application/octet-stream", "x-file-name": "a.bin"}
    got = scanned.ask("/up", method="PUT", body=body, cookie=scanned.session(), headers=headers)
    arrived = scanned.origin.seen[before:]
    if found is None:
        assert got.status == 200 and [each.body for each in arrived] == [body]
    else:
        assert got.status == 403 and not arrived


def test_rules_that_change_are_in_force(scanned: World) -> None:
    offer(scanned, "/later", b"a later-evil file")
    session = scanned.session()
    assert scanned.ask("/later", cookie=session, headers=FETCH).status == 200
    (scanned.config / "rules" / "own.yar").write_text(RULE.replace("casb-evil", "later-evil"))
    wait_for(lambda: scanned.ask("/later", cookie=session, headers=FETCH).status == 403, "the new rule to be in force")
    (scanned.config / "rules" / "own.yar").write_text("rule broken {")
    wait_for(lambda: "C161" in scanned.log, "the broken rule to be told")
    assert scanned.ask("/later", cookie=session, headers=FETCH).status == 403, "the last good one stays"
    (scanned.config / "rules" / "own.yar").write_text(RULE)


@pytest.mark.parametrize(("unscannable", "status"), [("match", 403), ("ignore", 200)])
def test_an_engine_that_is_away_follows_the_policy(tmp_path: Path, unscannable: str, status: int) -> None:
    with world(tmp_path, start=False, malware="{clamd: 'unix:/nowhere/clamd.sock'}") as made:
        made.write("p.yaml", f"{POLICIES}    unscannable: {unscannable}\n")
        made.start()
        offer(made, "/file", b"hello")
        got = made.ask("/file", cookie=made.session(), headers=FETCH)
        assert got.status == status
        downloads = [each for each in made.records() if each["activity"] == "download"]
        told = {"engine": "clamav", "status": "unscannable", "threat": "", "why": "the engine is away"}
        assert downloads[-1]["file"]["malware"] == [told]


def test_the_first_malicious_verdict_is_the_files() -> None:
    facts = FileFacts(name="a", inspected=True, verdict=Verdict(status=VerdictStatus.CLEAN))
    clean = EngineVerdict(engine="a", status=VerdictStatus.CLEAN)
    evil = EngineVerdict(engine="b", status=VerdictStatus.MALICIOUS, threat="T")
    assert with_engines(facts, [clean]).verdict == facts.verdict
    verdict = with_engines(facts, [clean, evil]).verdict
    assert verdict is not None and (verdict.status, verdict.inspector, verdict.threat) == ("malicious", "b", "T")


def test_pieces_of_bytes() -> None:
    assert b"".join(pieces_of(b"x" * 200_000)) == b"x" * 200_000
    assert max(len(each) for each in pieces_of(b"x" * 200_000)) == 65_536
    assert list(pieces_of(b"")) == []
    assert len(read_feeds({})) == 0
