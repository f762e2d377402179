"""Which piece of which file a request carries; over the wire: `tests/casb/proxy/test_transfers.py`."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.transfers import Piece, Step, chunk_of, handshake, keys_told, piece_of, told_in
from casb.model.activity import RequestFacts


def piece(method: str, target: str, length: int | None = None, kind: str = "", **headers: str) -> Piece | None:
    path, _, query = target.partition("?")
    names = {part for each in query.split("&") if each for part in (each.partition("=")[0], each)}
    request = RequestFacts(
        method=method, scheme="https", host="h", port=443, path=path, content_length=length, content_type=kind,
        query_names=frozenset(names), override=headers.get("x_http_method_override", ""),
    )  # fmt: skip
    return piece_of(request, {name.replace("_", "-"): value for name, value in headers.items()}, target)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (piece("POST", "/f", 3), None),
        (piece("GET", "/f", content_range="bytes 0-1/2"), None),
        (piece("PUT", "/f", 2, content_range="bytes 0-1/4"), ("content-range", Step.PIECE, "h/f", 0, 4)),
        (piece("PUT", "/f", 2, content_range="bytes 2-3/*"), ("content-range", Step.PIECE, "h/f", 2, None)),
        (piece("PUT", "/f", 2, content_range="pages 2-3"), ("content-range", Step.PIECE, "h/f", None, None)),
        (piece("PUT", "/f", 0, content_range="bytes */4"), None),
        (piece("PATCH", "/f?u=1", 2, upload_offset="7"), ("tus", Step.PIECE, "h/f?u=1", 7, None)),
        (piece("POST", "/f", 0, tus_resumable="1.0.0", upload_length="9"), ("tus", Step.BEGIN, "", 0, 9)),
        (piece("PUT", "/u?upload_id=q", 5), ("google-resumable", Step.PIECE, "upload_id=q", 0, 5)),
        (piece("POST", "/u?uploadType=resumable", 5), ("google-resumable", Step.BEGIN, "", None, None)),
        (piece("POST", "/b/k?uploads", 0), ("s3", Step.BEGIN, "", None, None)),
        (piece("PUT", "/b/k?partNumber=3&uploadId=z", 5), ("s3", Step.PIECE, "s3 h/b/k z", 3, None)),
        (piece("POST", "/b/k?uploadId=z", 5), ("s3", Step.END, "s3 h/b/k z", None, None)),
        (piece("PUT", "/c/k?comp=blocklist", 5), ("azure-block", Step.END, "azure h/c/k", None, None)),
        (piece("POST", "/2/files/upload_session/append_v2", 5, dropbox_api_arg='{"cursor": {"session_id": "s", "offset": 4}}'),
         ("dropbox", Step.PIECE, "s", 4, None)),
        (piece("POST", "/2/files/upload_session/append_v2", 5, dropbox_api_arg="{"), None),
        (piece("POST", "/x/createUploadSession", 5), ("upload-session", Step.BEGIN, "", None, None)),
        (piece("POST", "/", 5, x_up2k_hash="h1,h2", x_up2k_wark="w"), ("up2k", Step.PIECE, "w", None, None)),
    ],
)  # fmt: skip
def test_piece_of(found: Piece | None, expected: tuple[Any, ...] | None) -> None:
    told = found and (found.protocol, found.step, found.key, found.place, found.total)
    assert told == expected


@pytest.mark.parametrize(
    ("document", "name", "size"),
    [
        ({"item": {"name": "a.docx", "fileSize": 7}}, "a.docx", 7),
        ({"AttachmentItem": {"attachmentType": "file", "name": "b.pdf", "size": 9}}, "b.pdf", 9),
        ({"name": "../c.txt"}, "c.txt", None),
        ({"name": 7, "size": True}, "", None),
        (None, "", None),
    ],
)
def test_a_beginning_in_json(document: Any, name: str, size: int | None) -> None:
    told = told_in(Piece(protocol="x", step=Step.BEGIN), document)
    assert (told.name, told.total) == (name, size)


def test_where_pieces_will_go() -> None:
    tus = Piece(protocol="tus", step=Step.BEGIN, told_by=("header:location",))
    assert keys_told(tus, "h", {"location": "/files/7?a=b"}, None) == ("h/files/7?a=b",)
    assert keys_told(tus, "h", {"location": "https://up.example/files/7"}, None) == ("up.example/files/7",)
    assert keys_told(tus, "h", {}, None) == ()
    graph = Piece(protocol="upload-session", step=Step.BEGIN, told_by=("/uploadUrl",))
    assert keys_told(graph, "h", {}, {"uploadUrl": "https://x.example/u?t=1"}) == ("x.example/u?t=1",)
    google = Piece(protocol="google-resumable", step=Step.BEGIN, told_by=("header:location",))
    told = keys_told(google, "h", {"location": "https://g.example/u?upload_id=A%2FB"}, None)
    assert told == ("g.example/u?upload_id=A%2FB", "upload_id=A/B")


@pytest.mark.parametrize(
    ("fields", "headers", "place", "why"),
    [
        (
            {"chunkIndex": "2", "totalChunks": "5", "uploadId": "u", "fileName": "a.txt"},
            {},
            2,
            "names of somebody's own",
        ),
        ({"dzuuid": "u", "dzchunkindex": "1", "dztotalchunkcount": "1"}, {}, None, "a single piece is a file"),
        ({"name": "a.txt", "note": "x"}, {}, None, "a form like any other"),
        ({}, {"content-range": "bytes 4-7/9"}, 4, "jQuery File Upload"),
    ],
)
def test_chunk_of(fields: dict[str, str], headers: dict[str, str], place: int | None, why: str) -> None:
    request = RequestFacts(method="POST", scheme="https", host="h", port=443, path="/up")
    found = chunk_of(request, fields, headers, "blob")
    assert (found.place if found else None) == place, why


def test_handshake() -> None:
    told = handshake({"name": "a.txt", "size": 3, "hash": ["x", "y"]})
    assert told is not None and (told.name, told.total, told.order) == ("a.txt", 3, ("x", "y"))
    assert handshake({"hash": "no list"}) is None


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["content_range", "upload_offset", "dropbox_api_arg", "x_goog_upload_command", "upload_concat"]),
    st.text(max_size=30),
    st.sampled_from(["/a", "/2/files/upload_session/finish", "/u?upload_id=1", "/_api/web/x('a')/continueupload(1)"]),
)
def test_any_header_is_read(name: str, value: str, target: str) -> None:
    found = piece("PATCH", target, 5, **{name: value, "tus_resumable": "1.0.0"})
    assert found is None or isinstance(found, Piece)
