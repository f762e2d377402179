"""Refused uploads that are kept: byte-exact, never plain on disk, given back only to who uploaded them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.settings import Quarantine, Settings
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import KIND, Quarantined, QuarantinedFiles, row_of
from proxy_world import FETCH, NAVIGATE, SUFFIX, Reply, World, reply, world

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
MARK = b"a sentence that stands nowhere else: 6d1f0c3a"
POLICIES = """\
version: 1
policies:
  - id: by-name
    activities: [upload]
    when: {file: {name: "secret*"}}
    action: {type: block, quarantine: true}
    message: Not up there.
  - id: by-content
    activities: [upload]
    when: {file: {name: "*.txt", findings: [credit-card]}}
    action: {type: block, quarantine: true}
  - id: harmful
    activities: [upload]
    when: {file: {malware: true}}
    action: {type: block, quarantine: true}
    unscannable: ignore
  - {id: plain, activities: [upload], when: {file: {name: "gone*"}}, action: block}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("quarantine")
    feed = folder / "feed.txt"
    feed.write_text(f"{hashlib.sha256(EICAR).hexdigest()}  Eicar-Test\n")
    engines, limits = f"{{hashes: [{feed}]}}", "{hold: 1MB, spool_free: 1MB}"
    with world(folder, start=False, limits=limits, quarantine="{limit: 24MB}", malware=engines) as made:
        made.write("policies.yaml", POLICIES)
        made.origin.routes["/up"] = lambda handler, _: reply(handler, 200, b"taken")
        made.start()
        yield made


def upload(here: World, name: str, body: bytes, cookie: str = "", **headers: str) -> Reply:
    kind = {"content-type": "application/octet-stream", "content-disposition": f'attachment; filename="{name}"'}
    sent = FETCH | kind | headers
    return here.ask("/up", method="POST", cookie=cookie or here.session(), headers=sent, body=body)


def form(name: str, body: bytes) -> tuple[bytes, str]:
    head = f'--b\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode()
    return head + body + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def kept(here: World, identifier: str) -> tuple[Desk, Quarantined]:
    """The desk of the world's data folder, with every line of the spool in it."""
    desk = Desk(Settings(suffix=SUFFIX), here.data)
    desk.rows.keep([row_of(each) for each in here.spooled() if each.get("kind") == KIND])
    return desk, desk.need(identifier)


def plain(desk: Desk, identifier: str) -> bytes:
    return b"".join(desk.fetch(identifier)[1])


def nowhere(folder: Path, wanted: bytes) -> bool:
    return not any(wanted in path.read_bytes() for path in folder.rglob("*") if path.is_file())


CARD = b"card 4111 1111 1111 1111 of a customer, " + MARK


@pytest.mark.parametrize(
    ("name", "body", "policy"),
    [("secret.bin", MARK, "by-name"), ("cards.txt", CARD, "by-content"), ("eicar.com", EICAR, "harmful")],
    ids=["by the head", "by the content", "by an engine"],
)
def test_a_refused_upload_is_kept_byte_exact_and_never_plain(here: World, name: str, body: bytes, policy: str) -> None:
    before = len(here.origin.seen)
    told = upload(here, name, body)
    assert (told.status, told.json["quarantine"]["state"]) == (403, "kept")
    identifier = told.json["quarantine"]["id"]
    assert identifier in told.json["message"]
    assert told.json["quarantine"]["url"] == f"https://login.{SUFFIX}:{here.port}/.casb/quarantine"
    assert len(here.origin.seen) == before
    desk, file = kept(here, identifier)
    assert (file.name, file.policy, file.size, file.state) == (name, policy, len(body), "kept")
    assert (file.sha256, file.user_name) == (hashlib.sha256(body).hexdigest(), "ada@contoso.example")
    assert here.record(identifier)["policy"] == policy
    assert plain(desk, identifier) == body
    assert nowhere(here.data, body)
    container = here.data / "quarantine" / f"{identifier}.age"
    assert container.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert (container.stat().st_mode & 0o777, container.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_large_file_is_kept_from_the_spool(here: World) -> None:
    body = os.urandom(9_000_000) + MARK
    told = upload(here, "secret-large.bin", body)
    desk, file = kept(here, told.json["quarantine"]["id"])
    assert file.size == len(body)
    assert plain(desk, file.id) == body
    assert nowhere(here.data, body[-64:])


def test_a_file_of_a_form_is_kept_without_the_form(here: World) -> None:
    body, kind = form("secret.form", MARK)
    told = here.ask("/up", method="POST", cookie=here.session(), headers=FETCH | {"content-type": kind}, body=body)
    desk, file = kept(here, told.json["quarantine"]["id"])
    assert (file.name, plain(desk, file.id)) == ("secret.form", MARK)


def test_each_refused_file_of_a_form_is_kept(here: World) -> None:
    parts = [("secret.1", b"one " + MARK), ("fine.bin", b"fine"), ("secret.2", b"two " + MARK)]
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    )
    before = len(here.spooled())
    sent = FETCH | {"content-type": "multipart/form-data; boundary=b"}
    here.ask("/up", method="POST", cookie=here.session(), headers=sent, body=body + b"--b--\r\n")
    lines = [each for each in here.spooled()[before:] if each.get("kind") == KIND]
    assert [each["name"] for each in lines] == ["secret.1", "secret.2"]
    desk, _ = kept(here, lines[0]["id"])
    assert [plain(desk, each["id"]) for each in lines] == [parts[0][1], parts[2][1]]


def test_a_page_says_that_the_file_is_kept(here: World) -> None:
    body, kind = form("secret.page", MARK)
    sent = NAVIGATE | {"content-type": kind, "accept-language": "de"}
    told = here.ask("/up", method="POST", cookie=here.session(), headers=sent, body=body)
    assert "aufbewahrt" in told.text
    assert f'href="https://login.{SUFFIX}:{here.port}/.casb/quarantine"' in told.text


def test_other_policies_keep_nothing(here: World) -> None:
    told = upload(here, "gone.bin", MARK)
    assert (told.status, "quarantine" in told.json) == (403, False)
    assert upload(here, "fine.bin", b"fine").body == b"taken"


def test_what_does_not_fit_is_refused_and_told_of(here: World) -> None:
    before = len(here.origin.seen)
    told = upload(here, "secret-huge.bin", os.urandom(23_000_000))
    assert (told.status, told.json["quarantine"]["state"]) == (403, "failed")
    _, file = kept(here, told.json["quarantine"]["id"])
    assert (file.state, file.failure) == ("failed", "the quarantine is full (quarantine.limit)")
    assert len(here.origin.seen) == before
    assert not list((here.data / "quarantine").glob("*.part"))


def login(here: World, name: str = "ada@contoso.example") -> str:
    """A session on the sign-in host."""
    return here.session(name, host=f"login.{SUFFIX}").replace("__Host-casb_s", "__Host-casb_l")


def fetch(here: World, identifier: str, cookie: str, **headers: str) -> Reply:
    host = f"login.{SUFFIX}"
    sent = NAVIGATE | {
        "content-type": "application/x-www-form-urlencoded",
        "origin": f"https://{host}:{here.port}",
        "sec-fetch-site": "same-origin",
    }
    body = f"file={identifier}".encode()
    return here.ask("/.casb/quarantine", method="POST", host=host, cookie=cookie, headers=sent | headers, body=body)


def test_a_released_file_goes_back_to_who_uploaded_it_and_to_nobody_else(here: World) -> None:
    body = os.urandom(1_500_000)
    identifier = upload(here, 'secret "ü".bin', body).json["quarantine"]["id"]
    desk, _ = kept(here, identifier)
    ada, bea = login(here), login(here, "bea@contoso.example")
    host = f"login.{SUFFIX}"
    shown = here.ask("/.casb/quarantine", host=host, cookie=ada, headers=NAVIGATE)
    assert identifier in shown.text
    assert "Kept; not released" in shown.text
    assert fetch(here, identifier, ada).status == 404
    assert desk.release(identifier, "grace", "false alarm", datetime.now(UTC)) == "released"
    assert "Download" in here.ask("/.casb/quarantine", host=host, cookie=ada, headers=NAVIGATE).text
    assert identifier not in here.ask("/.casb/quarantine", host=host, cookie=bea, headers=NAVIGATE).text
    for cookie, status in ((bea, 404), ("", 303)):
        assert fetch(here, identifier, cookie).status == status
    elsewhere = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert fetch(here, identifier, ada, **elsewhere).status in (403, 404)
    got = fetch(here, identifier, ada)
    assert (got.status, got.body) == (200, body)
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-length"] == str(len(body))
    record = here.record(got.headers["x-casb-activity"])
    assert (record["action"], record["extra"]["quarantine"]["file"]) == ("audit", identifier)
    tried = [each for each in here.records() if [why["code"] for why in each["reasons"]] == ["quarantine.fetch"]]
    assert [each["action"] for each in tried] == ["block", "block", "audit"]
    assert desk.need(identifier).fetched == 1
    container = here.data / "quarantine" / f"{identifier}.age"
    container.write_bytes(container.read_bytes()[:-100])
    assert fetch(here, identifier, ada).status == 404


def test_after_a_crash_files_and_rows_are_brought_together(tmp_path: Path) -> None:
    with world(tmp_path / "w", start=False, limits="{spool_free: 1MB}") as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        first = upload(made, "secret-1.bin", MARK).json["quarantine"]["id"]
        assert made.process is not None
        made.process.kill()
        made.process.wait()
        # The line of the first was never shipped; of a second, only half was written.
        (made.data / "quarantine" / "HALF.part").write_bytes(b"age-encryption.org/v1\n")
        desk = Desk(Settings(suffix=SUFFIX, quarantine=Quarantine()), made.data)
        now = datetime.now(UTC)
        assert desk.tidy(now, now - timedelta(days=90)) == (0, [])
        file = desk.need(first)
        assert (file.state, file.name, file.policy, file.user_name) == (
            "kept",
            "secret-1.bin",
            "by-name",
            "ada@contoso.example",
        )
        assert file.sha256 == hashlib.sha256(MARK).hexdigest()
        assert not (made.data / "quarantine" / "HALF.part").exists()
        # The line arrives after all, and says more; it counts once.
        lines = [row_of(each) for each in made.spooled() if each.get("kind") == KIND]
        assert QuarantinedFiles(made.data).keep(lines) == 1
        assert desk.need(first).facts["reasons"]
        assert QuarantinedFiles(made.data).keep(lines) == 0
        desk.vault.delete(first)
        assert [each.id for each in desk.tidy(now, now - timedelta(days=90))[1]] == [first]
        assert desk.need(first).state == "lost"
