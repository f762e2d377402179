"""What a real copyparty sends and gets is recognised with the shipped `policies/apps/files.yaml`."""

import base64
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from casb.catalog.bodies import must_read, read_body
from casb.catalog.filenames import parse_disposition, upload_name
from casb.catalog.recognise import Recognised, recognise_request, recognise_response
from casb.model.activity import RequestFacts, RequestMode, ResponseFacts
from casb.model.app import App
from casb.proxy.uploads import looks_like_file
from casb.store.folder import load_draft

pytestmark = pytest.mark.e2e

XLSX = b"PK\x03\x04 not much of a workbook"


@pytest.fixture(scope="module")
def app() -> App:
    draft = load_draft(Path(__file__).parents[2] / "policies")
    return next(app for app in draft.apps if app.id == "files")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("copyparty")
    shared = folder / "shared"
    shared.mkdir()
    for name in ("payroll.xlsx", "notes.txt", "later.txt", "old.txt"):
        (shared / name).write_bytes(XLSX)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "copyparty", "-i", "127.0.0.1", "-p", str(port), "--http-only", "-q", "-ed"]
    command += ["-v", f"{shared}::rwmd", "--hist", str(folder / "hist"), "--no-thumb", "--no-mutagen"]
    log = (folder / "log").open("wb")
    environment = {"XDG_CONFIG_HOME": str(folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(20)
        log.close()


def ask(app: App, method: str, url: str, mode: RequestMode, **more: Any) -> tuple[str | None, str | None, int]:
    """Sends it; what request and response were recognised as, and the status."""
    with requests.Session() as session:
        session.trust_env = False
        prepared = session.prepare_request(requests.Request(method, url, **more))
        answer = session.send(prepared, timeout=20)
    parts = urlsplit(prepared.url or "")
    headers = {name.lower(): value for name, value in prepared.headers.items()}
    body = prepared.body if isinstance(prepared.body, bytes) else (prepared.body or "").encode()
    content_type = headers.get("content-type", "")
    request = RequestFacts(
        method=method,
        scheme="https",
        host="files.contoso.example",
        port=443,
        path=str(parts.path),
        mode=mode,
        content_type=content_type.partition(";")[0].strip().lower(),
        content_length=int(headers["content-length"]) if "content-length" in headers else None,
        upload_name=upload_name(headers),
        query_names=frozenset(name for name, _ in parse_qsl(str(parts.query), keep_blank_values=True)),
    )
    if must_read(app, request, lambda kind: True):
        contents = read_body(app, request, content_type.encode(), body, looks_like_file)
        request = replace(request, document=contents.document)
        if contents.files or request.content_type.startswith("multipart/"):
            request = replace(request, upload_name=contents.files[0].name if contents.files else "")
    disposition = parse_disposition(answer.headers.get("content-disposition", ""))
    response = ResponseFacts(
        status=answer.status_code,
        content_type=answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
        content_length=int(answer.headers["content-length"]) if "content-length" in answer.headers else None,
        attachment=disposition.attachment,
        filename=disposition.filename,
    )
    return (
        word(recognise_request(app, request)),
        word(recognise_response(app, request, response)),
        answer.status_code,
    )


def word(found: Recognised | None) -> str | None:
    if found is None:
        return None
    return f"{found[0].value} {found[1].name}".strip() if found[1] else found[0].value


NAVIGATION, FETCH = RequestMode.NAVIGATION, RequestMode.FETCH


@pytest.mark.parametrize(
    ("path", "mode", "expected"),
    [
        ("/", NAVIGATION, "view"),
        ("/payroll.xlsx", NAVIGATION, "download payroll.xlsx"),
        ("/payroll.xlsx?dl", NAVIGATION, "download payroll.xlsx"),
        ("/payroll.xlsx", FETCH, "download payroll.xlsx"),
        ("/payroll.xlsx?mime=text/css", FETCH, "download payroll.xlsx"),
        ("/payroll.xlsx?mime=text/html", FETCH, "download payroll.xlsx"),
        ("/payroll.xlsx?txt", FETCH, "download payroll.xlsx"),
        ("/notes.txt", FETCH, "download notes.txt"),
        ("/?ls", FETCH, None),
        ("/?tree=.", FETCH, None),
        ("/nowhere.xlsx", NAVIGATION, None),
    ],
)
def test_reading(app: App, base: str, path: str, mode: RequestMode, expected: str | None) -> None:
    before, after, status = ask(app, "GET", base + path, mode)
    assert (before, after) == (None, expected), status


def test_a_range(app: App, base: str) -> None:
    _, after, status = ask(app, "GET", base + "/payroll.xlsx", FETCH, headers={"range": "bytes=2-5"})
    assert (after, status) == ("download payroll.xlsx", 206)


def test_everything_as_one_archive(app: App, base: str) -> None:
    for query in ("zip", "tar"):
        _, after, status = ask(app, "GET", f"{base}/?{query}", NAVIGATION)
        assert after is not None and after.startswith("download ") and after.endswith(f".{query}"), status


def test_forms(app: App, base: str) -> None:
    file = {"act": (None, "bput"), "f": ("q3.xlsx", XLSX)}
    assert ask(app, "POST", base + "/", NAVIGATION, files=file)[::2] == ("upload q3.xlsx", 201)
    hidden = {"act": (None, "bput"), "f": ("q4.xlsx", XLSX)}
    assert ask(app, "POST", base + "/?delete", NAVIGATION, files=hidden)[::2] == ("upload q4.xlsx", 201)
    login = {"act": (None, "login"), "cppwd": (None, "wrong")}
    assert ask(app, "POST", base + "/", NAVIGATION, files=login)[0] is None
    folder = {"act": (None, "mkdir"), "name": (None, "new")}
    assert ask(app, "POST", base + "/", NAVIGATION, files=folder)[0] is None


def test_raw_uploads(app: App, base: str) -> None:
    assert ask(app, "PUT", base + "/put.xlsx", RequestMode.OTHER, data=XLSX)[::2] == ("upload put.xlsx", 201)
    text = {"content-type": "text/plain"}
    before, _, status = ask(app, "POST", base + "/?raw", FETCH, data=b"x", headers=text)
    assert (before, status // 100) == ("upload", 2)


def test_a_resumable_upload(app: App, base: str) -> None:
    body = b"resumable " * 10
    digest = base64.urlsafe_b64encode(hashlib.sha512(body).digest()[:33]).decode()
    handshake = json.dumps({"name": "big.bin", "size": len(body), "lmod": 1, "life": 0, "hash": [digest]})
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(base + "/", data=handshake, headers={"content-type": "text/plain"}, timeout=20).json()
    text = {"content-type": "text/plain;charset=UTF-8"}
    before, after, status = ask(app, "POST", base + "/", FETCH, data=handshake.encode(), headers=text)
    assert (before, after, status) == ("upload big.bin", None, 200)
    headers = {"content-type": "application/octet-stream", "x-up2k-hash": digest, "x-up2k-wark": answer["wark"]}
    before, after, status = ask(app, "POST", base + answer["purl"], FETCH, data=body, headers=headers)
    assert (before, after, status) == ("upload", None, 200)


def test_commands(app: App, base: str) -> None:
    assert ask(app, "POST", base + "/later.txt?move=/moved.txt", FETCH)[::2] == ("edit later.txt", 201)
    assert ask(app, "POST", base + "/old.txt?delete", FETCH)[::2] == ("delete old.txt", 200)
    text = {"content-type": "text/plain"}
    before, _, status = ask(app, "POST", base + "/?delete", FETCH, data=b'["/moved.txt"]', headers=text)
    assert (before, status) == ("delete", 200)
    search = b'{"q": "name like payroll*"}'
    assert ask(app, "POST", base + "/?srch", FETCH, data=search, headers=text)[0] is None
