"""Files that are judged: held on disk, replayed byte for byte, and never more than a little of them in memory."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_world import FETCH, NAVIGATE, World, reply, world

POLICIES = """\
version: 1
policies:
  - id: no-programs-down
    kind: session
    activities: [download]
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    unscannable: block
  - id: no-programs-up
    kind: session
    activities: [upload]
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    unscannable: block
"""
NOISE = random.Random(5).randbytes(1_300_000)
PROGRAM = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + NOISE
ATTACHED = {"content_type": "application/octet-stream", "content_disposition": "attachment; filename=a.bin"}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bodies")
    with world(folder, start=False, limits="{hold: 3MB, spool_file: 6MB, spool_total: 64MB, spool_free: 1MB}") as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        made.origin.page("/noise", NOISE, **ATTACHED)
        made.origin.page("/program", PROGRAM, **ATTACHED)
        made.origin.routes["/up"] = lambda handler, body: reply(
            handler, 200, hashlib.sha256(body).hexdigest().encode(), content_type="text/plain"
        )
        yield made


def held(proxy: World) -> list[Path]:
    return list((proxy.data / "held").iterdir())


def test_a_held_download_arrives_byte_for_byte(proxy: World) -> None:
    cookie = proxy.session()
    answer = proxy.ask("/noise", cookie=cookie, headers=NAVIGATE)
    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(NOISE))
    assert answer.body == NOISE
    assert not held(proxy)


def test_a_refused_one_is_answered_by_a_page(proxy: World) -> None:
    answer = proxy.ask("/program", cookie=proxy.session(), headers=FETCH)
    assert answer.status == 403
    assert answer.json["policy"] == "no-programs-down"
    assert not held(proxy)


def test_an_upload_reaches_the_origin_whole_or_not_at_all(proxy: World) -> None:
    cookie = proxy.session()
    sent = {**FETCH, "content-type": "application/octet-stream", "content-disposition": "attachment; filename=a.bin"}
    answer = proxy.ask("/up", method="PUT", cookie=cookie, headers=sent, body=NOISE)
    assert answer.text == hashlib.sha256(NOISE).hexdigest()
    before = len(proxy.origin.seen)
    answer = proxy.ask("/up", method="PUT", cookie=cookie, headers=sent, body=PROGRAM)
    assert answer.status == 403
    assert len(proxy.origin.seen) == before
    assert not held(proxy)
