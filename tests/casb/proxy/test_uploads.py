"""Uploads whose body must be read first, over the wire: what arrives at the origin, and what the user is told."""

# ruff: noqa: E501  # a table reads best with one row per case

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.proxy.uploads import aws_plain
from proxy_world import FETCH, Reply, Seen, World, wait_for, world

PROGRAM = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(400)
NOTES = b"just some notes\r\n" * 3
FORM = "multipart/form-data; boundary=b0"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("uploads"), start=False) as made:
        made.write(
            "uploads.yaml",
            """\
version: 1
policies:
  - id: no-programs
    activities: upload
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    message: Programs are not uploaded.
  - id: no-tools
    activities: upload
    when: {file: {extension: exe}}
    action: block
  - id: no-sharing
    activities: [share, send_item]
    action: block
  - id: see-the-rest
    activities: [delete, create, edit, unshare]
    action: audit
""",
        )
        for path in ("/up", "/strict", "/v1.0/$batch", "/v1.0/me/sendMail", "/graphql", "/gists"):
            made.origin.page(path, b"thanks")
        files = made.folder / "config" / "apps" / "files.yaml"
        files.write_text(files.read_text() + "product: microsoft-365\n")
        made.start()
        yield made


def part(name: str, content: bytes, field: str = "f") -> bytes:
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: text/plain\r\n\r\n'
    return b"--b0\r\n" + head.encode() + content + b"\r\n"


def field(name: str, value: str) -> bytes:
    return f'--b0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def send(
    proxy: World, body: bytes, kind: str = FORM, path: str = "/up", *, cookie: str = "", **more: str
) -> tuple[Reply, list[Seen]]:
    before = len(proxy.origin.seen)
    headers = {**FETCH, "content-type": kind, **{name.replace("_", "-"): value for name, value in more.items()}}
    answer = proxy.ask(path, method="POST", cookie=cookie or proxy.session(), headers=headers, body=body)
    return answer, proxy.origin.seen[before:]


def test_of_two_hundred_files_a_hundred_and_ninety_seven_arrive(proxy: World) -> None:
    bad = {17, 120, 199}
    parts = [part(f"{at}.txt", PROGRAM if at in bad else NOTES + b"%d" % at) for at in range(200)]
    body = field("folder", "docs") + b"".join(parts) + b"--b0--\r\n"
    cookie = proxy.session()
    answer, seen = send(proxy, body, cookie=cookie)
    assert (answer.status, answer.body) == (200, b"thanks")
    kept = b"".join(each for at, each in enumerate(parts) if at not in bad)
    assert seen[0].body == field("folder", "docs") + kept + b"--b0--\r\n"
    assert seen[0].headers["content-length"] == str(len(seen[0].body))
    record = proxy.record(answer.headers["x-casb-activity"])
    assert (record["action"], record["policy"], record["file"]["name"]) == ("block", "no-programs", "17.txt")
    told = [each for each in answer.cookies if each.startswith("casb_notice=")]
    assert told, "the page finds its notice"
    assert proxy.ask(f"/.casb/notice/{record['id']}", cookie=proxy.session(), headers=FETCH).status == 404
    notice = wait_for(
        lambda: (got := proxy.ask(f"/.casb/notice/{record['id']}", cookie=cookie, headers=FETCH)).status == 200 and got,
        "the notice",
    )
    assert (notice.json["title"], notice.json["file"]) == (
        "3 of 200 files were not uploaded",
        "17.txt, 120.txt, 199.txt",
    )


def test_a_form_that_is_held_on_disk_is_judged_as_one_in_memory(proxy: World) -> None:
    kept, refused = part("a.bin", bytes(range(256)) * 3000), part("b.txt", PROGRAM)
    answer, seen = send(proxy, kept + refused + b"--b0--\r\n")
    assert (answer.status, answer.body) == (200, b"thanks")
    assert seen[0].body == kept + b"--b0--\r\n"
    assert seen[0].headers["content-length"] == str(len(seen[0].body))
    answer, seen = send(proxy, part("a.txt", PROGRAM + bytes(700_000)) + b"--b0--\r\n")
    assert (answer.status, seen) == (403, [])
    whole = kept + b"--b0--\r\n"
    answer, seen = send(proxy, whole)
    assert (answer.status, [each.body for each in seen]) == (200, [whole])
    assert not list((proxy.data / "held").glob("*")), "nothing of it stays"


def test_the_notice_names_the_files(proxy: World) -> None:
    cookie = proxy.session()
    body = part("a.txt", NOTES) + part("b.exe", NOTES) + b"--b0--\r\n"
    headers = {**FETCH, "content-type": FORM}
    answer = proxy.ask("/up", method="POST", cookie=cookie, headers=headers, body=body)
    identifier = answer.headers["x-casb-activity"]
    told = wait_for(
        lambda: (got := proxy.ask(f"/.casb/notice/{identifier}", cookie=cookie, headers=FETCH)).status == 200 and got,
        "the notice",
    )
    assert (told.json["title"], told.json["file"], told.json["policy"]) == (
        "1 of 2 files was not uploaded",
        "b.exe",
        "no-tools",
    )


def test_a_form_whose_every_file_is_refused_goes_nowhere(proxy: World) -> None:
    answer, seen = send(proxy, part("a.exe", NOTES) + part("b.txt", PROGRAM) + b"--b0--\r\n")
    assert (answer.status, answer.json["casb"], seen) == (403, "blocked", [])


@pytest.mark.parametrize("header", ["content_md5", "digest", "content_digest"])
def test_a_body_that_is_signed_is_refused_whole(proxy: World, header: str) -> None:
    answer, seen = send(proxy, part("a.txt", NOTES) + part("b.exe", NOTES) + b"--b0--\r\n", **{header: "x"})
    assert (answer.status, seen) == (403, [])


def test_files_of_graphql_are_refused_whole(proxy: World) -> None:
    operations = json.dumps({"query": "mutation M { up }", "variables": {"files": [None, None]}})
    body = field("operations", operations) + field("map", '{"0": ["variables.files.0"], "1": ["variables.files.1"]}')
    answer, seen = send(proxy, body + part("a.txt", NOTES, "0") + part("b.exe", NOTES, "1") + b"--b0--\r\n")
    assert (answer.status, seen) == (403, [])


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


RELATED = (
    b'--b0\r\nContent-Type: application/json\r\n\r\n{"name": "x.pdf"}\r\n--b0\r\nContent-Type: application/pdf\r\n\r\n'
    + PROGRAM + b"\r\n--b0--"
)  # fmt: skip
MIXED = b"--b0\r\nContent-Type: application/octet-stream\r\n\r\n" + PROGRAM + b"\r\n--b0--"
HIDDEN: list[tuple[str, str, bytes]] = [
    ("a picture pasted as a data URL", "application/json", json.dumps({"a": {"b": "data:x/y;base64," + b64(PROGRAM)}}).encode()),
    ("base64 in JSON", "application/json", json.dumps({"name": "a.txt", "content": b64(PROGRAM)}).encode()),
    ("base64 with escaped slashes", "application/json", json.dumps({"x": b64(PROGRAM)}).replace("/", "\\/").encode()),
    ("base64 in a vendor's JSON", "application/vnd.api+json", json.dumps([{"x": b64(PROGRAM)}]).encode()),
    ("JSON sent as text", "text/plain", json.dumps({"x": b64(PROGRAM)}).encode()),
    ("a data URL in a form's field", FORM, field("pic", "data:x/y;base64," + b64(PROGRAM)) + b"--b0--\r\n"),
    ("a data URL in a query-like body", "application/x-www-form-urlencoded", b"a=data%3Ax%2Fy%3Bbase64%2C" + b64(PROGRAM).replace("+", "%2B").encode()),
    ("markup with a picture in it", "text/html", b"<img src='data:image/png;base64," + b64(PROGRAM).encode() + b"'>"),
    ("a part without a name", FORM, b'--b0\r\nContent-Disposition: form-data; name="x"\r\nContent-Type: application/pdf\r\n\r\n' + PROGRAM + b"\r\n--b0--\r\n"),
    ("a description and a file", "multipart/related; boundary=b0", RELATED),
    ("a file in multipart/mixed", "multipart/mixed; boundary=b0", MIXED),
    ("raw bytes", "application/octet-stream", PROGRAM),
    ("bytes of no type", "", PROGRAM),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body"), [each[1:] for each in HIDDEN], ids=[each[0] for each in HIDDEN])
def test_a_file_is_found_wherever_it_is(proxy: World, kind: str, body: bytes) -> None:
    answer, seen = send(proxy, body, kind)
    assert (answer.status, seen) == (403, []), answer.text
    assert proxy.record(answer.headers["x-casb-activity"])["policy"] == "no-programs"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"a": [1, 2, {"b": "text"}], "token": "' + b"ab1_" * 200 + b'"}'),
        ("text/plain", b"some text"),
        ("application/x-www-form-urlencoded", b"user=ada&pw=x"),
        (FORM, field("a", "b") + b"--b0--\r\n"),
        ("multipart/mixed; boundary=b0", b"--b0\r\nContent-Type: application/http\r\n\r\nGET /a HTTP/1.1\r\n\r\n\r\n--b0--"),
    ],
    ids=["json", "text", "urlencoded", "form", "batch"],
)  # fmt: skip
def test_what_holds_no_file_arrives_as_it_was_sent(proxy: World, kind: str, body: bytes) -> None:
    answer, seen = send(proxy, body, kind)
    assert (answer.status, [each.body for each in seen]) == (200, [body]), answer.text


AMBIGUOUS = [
    part("a.txt", NOTES).replace(b"a.txt", b'a.txt"; filename="b.exe') + b"--b0--\r\n",
    part("a.txt", NOTES),
    b"preamble\r\n" + part("a.txt", NOTES) + b"--b0--\r\n",
    part("a.txt", b"x\n--b0\n" + part("b.exe", NOTES)) + b"--b0--\r\n",
]


@pytest.mark.parametrize("body", AMBIGUOUS, ids=["two names", "no end", "a preamble", "a boundary after LF"])
def test_what_can_be_read_in_two_ways_goes_nowhere(proxy: World, body: bytes) -> None:
    answer, seen = send(proxy, body)
    assert (answer.status, seen) == (403, [])
    assert proxy.record(answer.headers["x-casb-activity"])["reasons"][-1]["code"] in (
        "upload.unnamed",
        "file.unscannable",
    )


def test_what_is_shared_is_known_from_the_body(proxy: World) -> None:
    told = {"message": {"toRecipients": [{"emailAddress": {"address": "ryan@fabrikam.example"}}]}}
    answer, seen = send(proxy, json.dumps(told).encode(), "application/json", "/v1.0/me/sendMail")
    assert (answer.status, seen) == (403, [])
    record = proxy.record(answer.headers["x-casb-activity"])
    assert (record["activity"], record["extra"]["operation"]) == ("send_item", "mail.send")
    assert record["objects"] == [{"type": "user", "id": "ryan@fabrikam.example", "name": "ryan@fabrikam.example"}]


def test_a_batch_hides_nothing(proxy: World) -> None:
    told: dict[str, Any] = {"requests": [
        {"id": "1", "method": "GET", "url": "/me"},
        {"id": "2", "method": "POST", "url": "/me/sendMail", "body": {"message": {}}},
    ]}  # fmt: skip
    answer, seen = send(proxy, json.dumps(told).encode(), "application/json", "/v1.0/$batch")
    assert (answer.status, seen) == (403, [])
    assert proxy.record(answer.headers["x-casb-activity"])["extra"]["operation"] == "mail.send"


def test_two_types_are_one_too_many(proxy: World) -> None:
    before = len(proxy.origin.seen)
    body = part("a.exe", NOTES) + b"--b0--\r\n"
    head = (
        f"POST /up HTTP/1.1\r\nHost: {proxy.host}:{proxy.port}\r\nCookie: {proxy.session()}\r\nSec-Fetch-Mode: cors\r\n"
        f"Content-Type: {FORM}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with proxy.connect(proxy.host) as connection:
        connection.sendall(head.encode() + body)
        assert b" 403 " in connection.recv(64)
    assert len(proxy.origin.seen) == before


def test_however_it_is_cut(proxy: World) -> None:
    """Byte by byte, in chunks of one."""
    body = part("a.exe", NOTES) + part("b.txt", NOTES) + b"--b0--\r\n"
    before = len(proxy.origin.seen)
    head = (
        f"POST /up HTTP/1.1\r\nHost: {proxy.host}:{proxy.port}\r\nCookie: {proxy.session()}\r\nSec-Fetch-Mode: cors\r\n"
        f"Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunks = b"".join(b"1\r\n" + bytes([each]) + b"\r\n" for each in body) + b"0\r\n\r\n"
    with proxy.connect(proxy.host) as connection:
        connection.sendall(head.encode() + chunks)
        assert b" 200 " in connection.recv(64)
    assert [each.body for each in proxy.origin.seen[before:]] == [part("b.txt", NOTES) + b"--b0--\r\n"]


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (b"5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n", b"hello!"),
        (b"5\r\nhel", None),
        (b"hello", None),
        (b"", None),
        (b"-5\r\nhello\r\n0\r\n", None),
    ],
)
def test_aws_chunks(body: bytes, plain: bytes | None) -> None:
    if plain is None:
        with pytest.raises(ContentError):
            aws_plain(body)
    else:
        assert aws_plain(body) == plain


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_chunks_are_read_or_refused(body: bytes) -> None:
    try:
        assert isinstance(aws_plain(body), bytes)
    except ContentError as error:
        assert error.code == "U002"
