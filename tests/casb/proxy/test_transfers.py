"""Uploads in pieces over the wire: for each protocol a client that speaks it, and an origin that puts files together.

`PROGRAM` may not be uploaded, which only its content tells; its name says `report.pdf`. `NOTES` may.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy_world import FETCH, Reply, World, reply, world

PROGRAM = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(range(256)) * 12
NOTES = b"Notes of the meeting.\n" * 140
PIECE = 1000
OCTETS = "application/octet-stream"


@dataclass
class Files:
    """An origin that speaks all of them: `whole` are the files that it put together, by protocol."""

    pieces: dict[str, dict[int, bytes]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    whole: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, place: int, data: bytes) -> None:
        self.pieces.setdefault(key, {})[place] = data

    def joined(self, key: str) -> bytes:
        return b"".join(data for _, data in sorted(self.pieces.get(key, {}).items()))

    def finish(self, key: str, total: int | None = None) -> bool:
        body = self.joined(key)
        if total is None or len(body) == total:
            self.whole[key] = body
            return True
        return False


@dataclass
class Scene:
    proxy: World
    files: Files
    cookie: str

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.proxy.ask(path, method=method, cookie=self.cookie, headers={**FETCH, **named}, body=body)

    def record(self, answer: Reply) -> dict[str, Any]:
        return self.proxy.record(answer.headers["x-casb-activity"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with world(tmp_path_factory.mktemp("transfers"), start=False, limits="{hold: 1MB}") as proxy:
        proxy.write(
            "uploads.yaml",
            """\
version: 1
policies:
  - id: no-programs
    activities: upload
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    message: Programs are not uploaded.
  - id: no-archives
    activities: upload
    when: {file: {extension: zip}}
    action: block
  - id: nothing-huge
    activities: upload
    when: {file: {size: {at_least: 5MB}}}
    action: block
""",
        )
        files = Files()
        origin(proxy, files)
        proxy.start()
        yield Scene(proxy, files, proxy.session())


def origin(proxy: World, files: Files) -> None:  # noqa: C901  # one handler for each protocol
    """Every protocol's server side."""

    class Routes(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            found = super().get(path)
            if found is not None:
                return found
            return next((value for key, value in self.items() if key.endswith("*") and path.startswith(key[:-1])), None)

    routes: dict[str, Callable[[BaseHTTPRequestHandler, bytes], None]] = Routes()
    proxy.origin.routes = routes
    base = "https://files.example"

    def by_range(key: str) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
        def handle(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            told = re.match(r"bytes (\d+)-(\d+)/(\d+)", handler.headers.get("content-range", ""))
            name = f"{key}{urlsplit(handler.path).query[-6:]}"
            if told is None:
                files.whole[name] = body
                reply(handler, 200, b"{}")
                return
            files.put(name, int(told[1]), body)
            done = files.finish(name, int(told[3]))
            reply(handler, 200 if done else 308, b"{}", range=f"bytes=0-{told[2]}")

        return handle

    def tus_create(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        key = f"tus{len(files.sizes)}"
        if handler.headers.get("upload-concat", "").startswith("final"):
            urls = handler.headers["upload-concat"].partition(";")[2].split()
            files.whole[key] = b"".join(files.joined(url.rpartition("/")[2]) for url in urls)
            reply(handler, 201, b"", location=f"/tus/{key}", tus_resumable="1.0.0")
            return
        files.sizes[key] = int(handler.headers["upload-length"])
        if body:
            files.put(key, 0, body)
            files.finish(key, files.sizes[key])
        reply(handler, 201, b"", location=f"{base}/tus/{key}", tus_resumable="1.0.0", upload_offset=str(len(body)))

    def tus_patch(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        key = handler.path.rpartition("/")[2]
        offset = int(handler.headers["upload-offset"])
        files.put(key, offset, body)
        if "upload-concat" not in handler.headers:
            files.finish(key, files.sizes[key])
        reply(handler, 204, b"", upload_offset=str(offset + len(body)), tus_resumable="1.0.0")

    def session(where: str, key: str) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
        def handle(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            answer = {"uploadUrl": f"{base}{where}", "id": key, "session_id": key}
            reply(handler, 200, json.dumps(answer).encode(), content_type="application/json")

        return handle

    def google_start(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        number = f"{len(files.sizes):06}"
        files.sizes[number] = 0
        reply(handler, 200, b"", location=f"{base}/upload/drive/v3/files?uploadType=resumable&upload_id={number}")

    def google(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        (by_range("google") if "upload_id" in handler.path else google_start)(handler, body)

    def goog_start(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        command = handler.headers.get("x-goog-upload-command", "")
        if command == "start":
            reply(handler, 200, b"", x_goog_upload_url=f"{base}/goog?upload_session=9", x_goog_upload_status="active")
            return
        files.put("goog", int(handler.headers["x-goog-upload-offset"]), body)
        if "finalize" in command:
            files.finish("goog")
        reply(handler, 200, b"{}")

    def s3(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        query = parse_qs(urlsplit(handler.path).query, keep_blank_values=True)
        key = "s3" + urlsplit(handler.path).path
        if "uploads" in query:
            reply(
                handler, 200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            )
        elif "partNumber" in query:
            files.put(key, int(query["partNumber"][0]), body)
            reply(handler, 200, b"", etag='"x"')
        else:
            files.finish(key)
            reply(handler, 200, b"<CompleteMultipartUploadResult/>")

    def dropbox(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        action = handler.path.rpartition("/")[2]
        told = json.loads(handler.headers.get("dropbox-api-arg", "{}"))
        if action == "start":
            files.pieces.pop("dropbox", None)
            files.put("dropbox", 0, body)
            reply(handler, 200, b'{"session_id": "dropbox"}', content_type="application/json")
            return
        files.put("dropbox", told["cursor"]["offset"], body)
        if action == "finish":
            files.finish("dropbox")
        reply(handler, 200, b"{}")

    def box_commit(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        files.whole["box"] = files.joined("box")
        reply(handler, 201, b"{}")

    def box_part(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        told = re.match(r"bytes (\d+)-", handler.headers["content-range"])
        files.put("box", int(told[1]) if told else 0, body)
        reply(handler, 200, b"{}")

    def sharepoint(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        offset = re.search(r"fileOffset=(\d+)", handler.path)
        files.put("sharepoint", int(offset[1]) if offset else 0, body)
        if "finishupload" in handler.path.lower():
            files.finish("sharepoint")
        reply(handler, 200, b"{}")

    def form(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        boundary = b"--" + handler.headers["content-type"].partition("boundary=")[2].encode()
        told: dict[str, bytes] = {}
        for part in body.split(boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            named = re.search(rb'name="([^"]+)"', head)
            told[named[1].decode() if named else ""] = content[:-2]
        index = next(
            int(told[key]) for key in ("dzchunkindex", "flowChunkNumber", "chunk", "qqpartindex") if key in told
        )
        count = next(
            int(told[key]) for key in ("dztotalchunkcount", "flowTotalChunks", "chunks", "qqtotalparts") if key in told
        )
        key = handler.path
        files.put(key, index, told["file"])
        if len(files.pieces[key]) == count:
            files.finish(key)
        reply(handler, 200, b"{}")

    def up2k(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        told = handler.headers.get("x-up2k-hash")
        if told is None:
            files.pieces.pop("up2k", None)
            document = json.loads(body)
            files.sizes["up2k"] = document["size"]
            reply(handler, 200, b'{"wark": "W-1", "hash": ["h0"]}', content_type="application/json")
            return
        files.put("up2k", int(told[1:]), body)
        files.finish("up2k", files.sizes["up2k"])
        reply(handler, 200, b"")

    routes |= {
        "/tus/": tus_create,
        "/tus/*": tus_patch,
        "/raw": by_range("raw"),
        "/up-session": by_range("session"),
        "/v1.0/me/drive/root:/docs/report.pdf:/createUploadSession": session("/up-session?t=000001", "x"),
        "/upload/drive/v3/files": google,
        "/goog": goog_start,
        "/bucket/*": s3,
        "/2/files/upload_session/*": dropbox,
        "/api/2.0/files/upload_sessions": session("/api/2.0/files/upload_sessions/box", "box"),
        "/api/2.0/files/upload_sessions/box": box_part,
        "/api/2.0/files/upload_sessions/box/commit": box_commit,
        "/_api/*": sharepoint,
        "/form/*": form,
        "/up2k/": up2k,
    }


def cut(content: bytes) -> list[tuple[int, bytes]]:
    return [(at, content[at : at + PIECE]) for at in range(0, len(content), PIECE)]


def tus(scene: Scene, content: bytes, name: str) -> list[Reply]:
    told = f"filename {base64.b64encode(name.encode()).decode()},filetype {base64.b64encode(b'x/y').decode()}"
    made = scene.ask("POST", "/tus/", tus_resumable="1.0.0", upload_length=str(len(content)), upload_metadata=told)
    answers = [made]
    where = urlsplit(made.headers.get("location", "")).path
    for at, piece in cut(content) if made.status == 201 else ():
        headers = {"content_type": "application/offset+octet-stream", "tus_resumable": "1.0.0"}
        answers.append(scene.ask("PATCH", where, piece, upload_offset=str(at), **headers))
    return answers


def tus_at_once(scene: Scene, content: bytes, name: str) -> list[Reply]:
    told = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = {"tus_resumable": "1.0.0", "content_type": "application/offset+octet-stream", "upload_metadata": told}
    return [scene.ask("POST", "/tus/", content, upload_length=str(len(content)), **headers)]


def tus_by_post(scene: Scene, content: bytes, name: str) -> list[Reply]:
    """The override that tus clients use where PATCH does not get through."""
    told = f"filename {base64.b64encode(name.encode()).decode()}"
    made = scene.ask("POST", "/tus/", tus_resumable="1.0.0", upload_length=str(len(content)), upload_metadata=told)
    where = urlsplit(made.headers.get("location", "")).path
    headers = {"content_type": "application/offset+octet-stream", "tus_resumable": "1.0.0"}
    more = {"x_http_method_override": "PATCH"}
    return [made] + [
        scene.ask("POST", where, piece, upload_offset=str(at), **headers, **more) for at, piece in cut(content)
    ]


def tus_in_parts(scene: Scene, content: bytes, name: str) -> list[Reply]:
    """Concatenation: two uploads of half a file each, and a third request that joins them."""
    answers, urls = [], []
    half = len(content) // 2
    for part in (content[:half], content[half:]):
        made = scene.ask("POST", "/tus/", tus_resumable="1.0.0", upload_length=str(len(part)), upload_concat="partial")
        where = urlsplit(made.headers["location"]).path
        urls.append(where)
        headers = {"content_type": "application/offset+octet-stream", "tus_resumable": "1.0.0"}
        answers += [made, scene.ask("PATCH", where, part, upload_offset="0", upload_concat="partial", **headers)]
    told = f"filename {base64.b64encode(name.encode()).decode()}"
    joined = "final;" + " ".join(urls)
    return [*answers, scene.ask("POST", "/tus/", tus_resumable="1.0.0", upload_concat=joined, upload_metadata=told)]


def ranges(scene: Scene, path: str, content: bytes, method: str = "PUT", **headers: str) -> list[Reply]:
    total = len(content)
    return [
        scene.ask(
            method,
            path,
            piece,
            content_range=f"bytes {at}-{at + len(piece) - 1}/{total}",
            content_type=OCTETS,
            **headers,
        )
        for at, piece in cut(content)
    ]


def content_range(scene: Scene, content: bytes, name: str) -> list[Reply]:
    told = f'attachment; filename="{name}"'
    return ranges(scene, f"/raw?k={len(content):04}", content, "POST", content_disposition=told)


def graph(scene: Scene, content: bytes, name: str) -> list[Reply]:
    body = json.dumps({"item": {"@microsoft.graph.conflictBehavior": "rename", "name": name}}).encode()
    made = scene.ask(
        "POST", "/v1.0/me/drive/root:/docs/report.pdf:/createUploadSession", body, content_type="application/json"
    )
    parts = urlsplit(json.loads(made.body)["uploadUrl"]) if made.status == 200 else urlsplit("")
    return [made, *(ranges(scene, f"{parts.path}?{parts.query}", content) if made.status == 200 else ())]


def google(scene: Scene, content: bytes, name: str) -> list[Reply]:
    made = scene.ask(
        "POST",
        "/upload/drive/v3/files?uploadType=resumable",
        json.dumps({"name": name}).encode(),
        content_type="application/json; charset=UTF-8",
        x_upload_content_length=str(len(content)),
    )
    parts = urlsplit(made.headers.get("location", ""))
    return [made, *(ranges(scene, f"{parts.path}?{parts.query}", content) if made.status == 200 else ())]


def goog(scene: Scene, content: bytes, name: str) -> list[Reply]:
    scene.files.pieces.pop("goog", None)
    made = scene.ask(
        "POST",
        "/goog",
        x_goog_upload_protocol="resumable",
        x_goog_upload_command="start",
        x_goog_upload_header_content_length=str(len(content)),
        x_goog_upload_file_name=name,
    )
    answers = [made]
    for at, piece in cut(content) if made.status == 200 else ():
        command = "upload, finalize" if at + len(piece) == len(content) else "upload"
        path = "/goog?upload_session=9"
        answers.append(
            scene.ask(
                "POST", path, piece, x_goog_upload_command=command, x_goog_upload_offset=str(at), content_type=OCTETS
            )
        )
    return answers


def s3(scene: Scene, content: bytes, name: str) -> list[Reply]:
    where = f"/bucket/{len(content)}/{name}"
    answers = [scene.ask("POST", f"{where}?uploads=")]
    parts = list(enumerate(cut(content), 1))
    for number, (_, piece) in [*parts[1:], parts[0]] if answers[0].status == 200 else ():  # in any order
        answers.append(
            scene.ask("PUT", f"{where}?partNumber={number}&uploadId=u{len(content)}", piece, content_type=OCTETS)
        )
    done = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
    return [*answers, scene.ask("POST", f"{where}?uploadId=u{len(content)}", done, content_type="application/xml")]


def dropbox(scene: Scene, content: bytes, name: str) -> list[Reply]:
    answers = []
    for at, piece in cut(content):
        cursor: dict[str, Any] = {"cursor": {"session_id": "dropbox", "offset": at}}
        action = "append_v2" if at else "start"
        if at + len(piece) == len(content):
            action, cursor["commit"] = "finish", {"path": f"/docs/{name}"}
        told = json.dumps(cursor if at else {})
        path = f"/2/files/upload_session/{action}"
        answers.append(scene.ask("POST", path, piece, content_type=OCTETS, dropbox_api_arg=told))
    return answers


def box(scene: Scene, content: bytes, name: str) -> list[Reply]:
    scene.files.pieces.pop("box", None)
    told = json.dumps({"folder_id": "0", "file_size": len(content), "file_name": name}).encode()
    made = scene.ask("POST", "/api/2.0/files/upload_sessions", told, content_type="application/json")
    if made.status != 200:
        return [made]
    answers = [made, *ranges(scene, "/api/2.0/files/upload_sessions/box", content)]
    commit = "/api/2.0/files/upload_sessions/box/commit"
    return [*answers, scene.ask("POST", commit, b'{"parts": []}', content_type="application/json")]


def sharepoint(scene: Scene, content: bytes, name: str) -> list[Reply]:
    scene.files.pieces.pop("sharepoint", None)
    answers = []
    guid = f"guid'00000000-0000-0000-0000-{len(content):012}'"
    for at, piece in cut(content):
        call = f"continueupload(uploadId={guid},fileOffset={at})" if at else f"startupload(uploadId={guid})"
        if at + len(piece) == len(content):
            call = f"finishupload(uploadId={guid},fileOffset={at})"
        path = f"/_api/web/getfilebyserverrelativeurl('/docs/{name}')/{call}"
        answers.append(scene.ask("POST", path, piece, content_type=OCTETS))
    return answers


def chunked(script: str, fields: Callable[[int, int, int, str], Mapping[str, object]]) -> Any:
    def drive(scene: Scene, content: bytes, name: str) -> list[Reply]:
        answers = []
        pieces = cut(content)
        for index, (_, piece) in enumerate(pieces):
            body = b""
            for key, value in fields(index, len(pieces), len(content), name).items():
                body += f'--b0\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            body += b'--b0\r\nContent-Disposition: form-data; name="file"; filename="blob"\r\n'
            body += b"Content-Type: application/octet-stream\r\n\r\n" + piece + b"\r\n--b0--\r\n"
            path = f"/form/{script}{len(content)}"
            answers.append(scene.ask("POST", path, body, content_type="multipart/form-data; boundary=b0"))
        return answers

    drive.__name__ = script
    return drive


dropzone = chunked(
    "dropzone",
    lambda at, of, size, name: {
        "dzuuid": f"u{size}",
        "dzchunkindex": at,
        "dztotalchunkcount": of,
        "dztotalfilesize": size,
    },
)
flow_js = chunked(
    "flow",
    lambda at, of, size, name: {
        "flowIdentifier": f"{size}-x", "flowChunkNumber": at + 1, "flowTotalChunks": of, "flowTotalSize": size,
        "flowFilename": name,
    },
)  # fmt: skip
plupload = chunked("plupload", lambda at, of, size, name: {"name": name, "chunk": at, "chunks": of})
fine = chunked(
    "fine",
    lambda at, of, size, name: {
        "qquuid": f"q{size}", "qqpartindex": at, "qqtotalparts": of, "qqtotalfilesize": size, "qqfilename": name,
    },
)  # fmt: skip


def up2k(scene: Scene, content: bytes, name: str) -> list[Reply]:
    pieces = cut(content)
    told = {"name": name, "size": len(content), "lmod": 1, "hash": [f"h{at}" for at in range(len(pieces))]}
    made = scene.ask("POST", "/up2k/", json.dumps(told).encode(), content_type="text/plain;charset=UTF-8")
    answers = [made]
    for at, (_, piece) in reversed(list(enumerate(pieces))) if made.status == 200 else ():
        answers.append(scene.ask("POST", "/up2k/", piece, content_type=OCTETS, x_up2k_hash=f"h{at}", x_up2k_wark="W-1"))
    return answers


PROTOCOLS = [
    tus, tus_at_once, tus_by_post, tus_in_parts, content_range, graph, google, goog, s3, dropbox, box, sharepoint,
    dropzone, flow_js, plupload, fine, up2k,
]  # fmt: skip
NAMED_FIRST = [tus, graph, google, goog, s3, box, flow_js, plupload, fine, content_range, sharepoint, up2k]


def ids(drive: Any) -> str:
    return str(drive.__name__)


@pytest.mark.parametrize("drive", PROTOCOLS, ids=ids)
def test_what_may_be_uploaded_arrives_whole(scene: Scene, drive: Any) -> None:
    scene.files.whole.clear()
    answers = drive(scene, NOTES, "report.pdf")
    assert all(each.status < 400 for each in answers), [(each.status, each.text[:200]) for each in answers]
    assert NOTES in scene.files.whole.values()


@pytest.mark.parametrize("drive", PROTOCOLS, ids=ids)
def test_a_refused_file_never_becomes_whole(scene: Scene, drive: Any) -> None:
    scene.files.whole.clear()
    scene.files.pieces.clear()
    answers = drive(scene, PROGRAM, "report.pdf")
    refused = [each for each in answers if each.status == 403]
    assert refused, [(each.status, each.text[:100]) for each in answers]
    assert PROGRAM not in scene.files.whole.values()
    if drive is not s3:  # Its parts lie there for themselves, and nobody can put them together.
        assert all(scene.files.joined(key) != PROGRAM for key in scene.files.pieces)
    record = scene.record(refused[0])
    assert (record["activity"], record["policy"], record["action"]) == ("upload", "no-programs", "block")
    assert record["file"]["detected_type"] == "application/vnd.microsoft.portable-executable"


@pytest.mark.parametrize("drive", NAMED_FIRST, ids=ids)
def test_a_name_refuses_the_first_request(scene: Scene, drive: Any) -> None:
    seen = len(scene.proxy.origin.seen)
    if drive is graph:
        pytest.skip("its path names the file")
    answers = drive(scene, NOTES + b".", "all.zip")
    assert answers[0].status == 403
    assert not any(b"Notes" in each.body for each in scene.proxy.origin.seen[seen:]), "no byte of it"
    record = scene.record(answers[0])
    assert (record["policy"], record["file"]["name"]) == ("no-archives", "all.zip")


def test_a_refused_file_stays_refused(scene: Scene) -> None:
    """Its last piece is sent again, and again as another one."""
    name = "again.pdf"
    content = PROGRAM + b"again"
    answers = content_range(scene, content, name)
    assert answers[-1].status == 403
    total = len(content)
    last = [scene.ask("POST", f"/raw?k={total:04}", content[3000:], content_range=f"bytes 3000-{total - 1}/{total}")]
    last.append(
        scene.ask("POST", f"/raw?k={total:04}", b"x" * (total - 3000), content_range=f"bytes 3000-{total - 1}/{total}")
    )
    assert [each.status for each in last] == [403, 403]


def test_pieces_that_contradict_each_other_are_no_clean_file(scene: Scene) -> None:
    """The first piece is sent harmless for us and again in earnest: the origin keeps one of the two."""
    content = PROGRAM + b"twice"
    total = len(content)
    path = "/raw?k=twice1"
    first = scene.ask("PUT", path, b" " * 1000, content_range=f"bytes 0-999/{total}", content_type=OCTETS)
    assert first.status == 308
    answers = ranges(scene, path, content)
    record = next(each for each in reversed(scene.proxy.records()) if each["file"] and each["file"]["verdict"])
    assert record["file"]["verdict"]["why"] == "its pieces contradict each other"
    assert answers  # what follows is what the policy's `unscannable` says


def test_one_record_for_one_file(scene: Scene) -> None:
    known = len(scene.proxy.records())
    google(scene, NOTES, "one.txt")
    assert [each["activity"] for each in scene.proxy.records()[known:]] == ["upload"] or not scene.proxy.records()[
        known:
    ]


def test_a_huge_file_is_refused_by_what_is_said_of_it(scene: Scene) -> None:
    made = scene.ask("POST", "/tus/", tus_resumable="1.0.0", upload_length=str(6 * 1024 * 1024))
    assert made.status == 403
    assert scene.record(made)["policy"] == "nothing-huge"
