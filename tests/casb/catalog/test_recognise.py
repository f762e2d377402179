from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.recognise import file_in_path, recognise_request, recognise_response, signature_of
from casb.model.activity import ActivityType, RequestFacts, RequestMode, ResponseFacts
from casb.model.app import App, Signature
from casb.model.file import FileFacts

NAVIGATION, FETCH, SUBRESOURCE, OTHER = (
    RequestMode.NAVIGATION,
    RequestMode.FETCH,
    RequestMode.SUBRESOURCE,
    RequestMode.OTHER,
)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
APP = App(id="files", name="Files", domains=("files.example",))


def ask(method: str = "GET", path: str = "/", mode: RequestMode = NAVIGATION, **more: object) -> RequestFacts:
    return RequestFacts(
        method=method,
        scheme="https",
        host="files.example",
        port=443,
        path=path,
        mode=mode,
        **more,  # type: ignore[arg-type]
    )


def told(content_type: str = "", status: int = 200, **more: object) -> ResponseFacts:
    return ResponseFacts(status=status, content_type=content_type, **more)  # type: ignore[arg-type]


def word(found: tuple[ActivityType, FileFacts | None] | None) -> str | None:
    return found and f"{found[0].value} {found[1].name}".strip() if found and found[1] else found and found[0].value


@pytest.mark.parametrize(
    ("request_", "expected", "why"),
    [
        (ask(), None, "a page"),
        (ask("POST", "/login", content_type="application/x-www-form-urlencoded"), None, "a form without files"),
        (ask("POST", "/api", FETCH, content_type="application/json"), None, "an API call"),
        (ask("POST", "/api", FETCH, content_type="application/grpc-web+proto"), None, "an API call"),
        (ask("POST", "/note", FETCH, content_type="text/plain"), None, "a text message"),
        (ask("POST", "/x", FETCH, content_type="multipart/form-data"), "upload", "a form that nobody looked into"),
        (ask("POST", "/x", content_type="multipart/form-data", upload_name=""), None, "a form without a file"),
        (ask("POST", "/x", content_type="multipart/form-data", upload_name="a.xlsx"), "upload a.xlsx", "with one"),
        (ask("POST", "/x", FETCH, content_type="multipart/related"), "upload", "metadata and file in one"),
        (ask("POST", "/batch", FETCH, content_type="multipart/mixed"), None, "a batch of API calls"),
        (ask("POST", "/x", FETCH, content_type="application/octet-stream"), "upload", "raw bytes"),
        (ask("POST", "/x", FETCH, content_type=XLSX), "upload", "a workbook as the body"),
        (ask("POST", "/x", FETCH, content_type="image/png"), "upload", "a picture as the body"),
        (ask("POST", "/x", FETCH, content_type="application/x-invented"), "upload", "an unknown type"),
        (ask("POST", "/x", FETCH, content_length=9), "upload", "a Blob without a type"),
        (ask("POST", "/x", FETCH, content_length=0), None, "an empty body"),
        (ask("POST", "/x", FETCH, content_type="application/json", upload_name="a.json"), "upload a.json", "named"),
        (ask("POST", "/x", FETCH, content_type="text/html"), "upload", "a page as the body"),
        (ask("PATCH", "/x", FETCH, content_type="application/offset+octet-stream"), "upload", "tus"),
        (ask("PATCH", "/x", FETCH, content_type="application/json-patch+json"), None, "an API call"),
        (ask("PUT", "/d/a.xlsx", OTHER), "upload a.xlsx", "WebDAV"),
        (ask("PUT", "/d/a.txt", OTHER, content_type="text/plain"), "upload a.txt", "WebDAV, text"),
        (ask("PUT", "/d/a%20b.txt", OTHER, content_length=0), "upload a b.txt", "WebDAV, empty file"),
        (ask("PUT", "/d/a", OTHER, content_length=5), "upload a", "no extension"),
        (ask("PUT", "/api/like/7", FETCH, content_length=0), None, "a switch of an API"),
        (ask("PUT", "/api/items/7", FETCH, content_type="application/json"), None, "an API call"),
        (ask("PUT", "/api/ada@a.example", FETCH, content_type="application/json"), None, "an API call"),
        (ask("PUT", "/d/a.json", OTHER, content_type="application/json"), "upload a.json", "a JSON file"),
        (ask("PUT", "/d/a.bin", OTHER, content_type="application/octet-stream"), "upload a.bin", "chunk or whole"),
        (ask("DELETE", "/d/a.xlsx", FETCH), "delete a.xlsx", "a file"),
        (ask("DELETE", "/api/items/7", FETCH), "delete", "something"),
        (ask("MOVE", "/d/a.xlsx", OTHER), "edit a.xlsx", "WebDAV rename"),
        (ask("MKCOL", "/d/new", OTHER), "create", "WebDAV folder"),
        (ask("OPTIONS", "/d/a.xlsx", FETCH), None, "preflight"),
        (ask("HEAD", "/d/a.xlsx", OTHER), None, "no body"),
        (ask("GET", "/ws", RequestMode.WEBSOCKET), None, "a socket"),
        (ask("POST", "/x", RequestMode.WEBSOCKET, content_type="multipart/form-data"), "upload", "a forged mode"),
        (ask("GET", "/x", FETCH, content_type="multipart/form-data"), "upload", "a server may not mind the method"),
        (ask("DELETE", "/x", FETCH, content_type="multipart/form-data"), "upload", "nor this one"),
        (ask("ANYTHING", "/x", FETCH, content_type="application/zip"), "upload", "nor an invented one"),
        (ask("GET", "/x", FETCH, content_type="application/json"), None, "a careless client"),
        (ask("GET", "/x", FETCH, upload_name="a.zip"), None, "a stray header, and no body"),
        (ask("DELETE", "/x", FETCH, content_type="application/json"), "delete", "what to delete"),
        (ask("PROPFIND", "/d/", OTHER, content_type="application/xml"), None, "a WebDAV listing"),
    ],
)  # fmt: skip
def test_recognise_request(request_: RequestFacts, expected: str | None, why: str) -> None:
    assert word(recognise_request(APP, request_)) == expected, why


@pytest.mark.parametrize(
    ("request_", "response", "expected", "why"),
    [
        (ask(path="/inbox"), told("text/html"), "view", "a page"),
        (ask(path="/inbox", frame=True), told("text/html"), None, "a page's part"),
        (ask("POST", "/login"), told("text/html"), None, "the answer to a form"),
        (ask(path="/a.xlsx"), told("text/html"), "view a.xlsx", "a page about a file"),
        (ask(path="/api", mode=FETCH), told("application/json"), None, "data"),
        (ask(path="/i18n/de.json", mode=FETCH), told("application/json"), None, "data with a name"),
        (ask(path="/app.js", mode=SUBRESOURCE), told("text/javascript"), None, "a script"),
        (ask(path="/a.png", mode=SUBRESOURCE), told("image/png"), None, "a picture in a page"),
        (ask(path="/a.png", mode=FETCH), told("image/png"), None, "a picture by script"),
        (ask(path="/a.mp4", mode=SUBRESOURCE), told("video/mp4", 206), None, "a player's range"),
        (ask(path="/frag", mode=FETCH), told("text/html"), None, "a part of a page"),
        (ask(path="/x.wasm", mode=FETCH), told("application/wasm"), None, "code"),
        (ask(path="/f.woff2", mode=SUBRESOURCE), told("application/octet-stream"), None, "a font without a type"),

        (ask(path="/get"), told(XLSX, attachment=True, filename="q3.xlsx"), "download q3.xlsx", "attachment"),
        (ask(path="/get"), told("text/html", attachment=True, filename="r.html"), "download r.html", "a page to keep"),
        (ask(path="/get", mode=FETCH), told("application/json", attachment=True), "download get", "data to keep"),
        (ask(path="/a.png", mode=SUBRESOURCE), told("image/png", attachment=True), None, "shown all the same"),
        (ask(path="/a", mode=SUBRESOURCE), told("application/pdf", attachment=True), "download a", "no picture"),
        (ask("POST", "/zip"), told("application/zip", attachment=True, filename="a.zip"), "download a.zip", "by form"),
        (ask(path="/p", frame=True), told("application/pdf"), "download p", "a hidden frame"),
        (ask(path="/x/data", save_as=True), told("text/html"), "download data", "save link as"),
        (ask(path="/q3%20final.xlsx"), told(XLSX), "download q3 final.xlsx", "named by its address"),
        (ask(path="/a.pdf"), told("application/pdf"), "download a.pdf", "shown inline, but all of it has come"),
        (ask(path="/a.png"), told("image/png"), "download a.png", "opened by itself"),
        (ask(path="/v.mp4"), told("video/mp4", 206), "download v.mp4", "opened by itself"),
        (ask(path="/raw", mode=FETCH), told("application/octet-stream"), "download raw", "by script, saved as a blob"),
        (ask(path="/a.csv", mode=FETCH), told("text/csv"), "download a.csv", "by script"),
        (ask(path="/a.csv", mode=FETCH), told("text/plain"), "download a.csv", "plain text with a file's name"),
        (ask(path="/readme", mode=FETCH), told("text/plain"), None, "plain text"),
        (ask(path="/readme"), told("text/plain"), "view", "plain text, shown"),
        (ask(path="/notes.txt"), told("text/plain"), "download notes.txt", "a text file"),
        (ask(path="/a.zip", mode=SUBRESOURCE), told("application/zip"), "download a.zip", "prefetched"),
        (ask(path="/a.xlsx", mode=SUBRESOURCE), told("application/octet-stream"), "download a.xlsx", "forged mode"),
        (ask(path="/a.xlsx", mode=SUBRESOURCE), told("text/css"), "download a.xlsx", "an asset's type on a workbook"),
        (ask(path="/a.xlsx", mode=OTHER), told("application/octet-stream"), "download a.xlsx", "curl"),
        (ask(path="/a.jpg", mode=OTHER), told("image/jpeg"), "download a.jpg", "curl"),
        (ask(path="/api", mode=OTHER), told("application/json"), None, "curl on an API"),
        (ask(path="/a.json"), told("application/json"), "download a.json", "a JSON file, opened"),
        (ask(path="/api/me"), told("application/json"), "view", "data, opened"),
        (ask(path="/a.bin"), told("", content_length=7), "download a.bin", "no type at all"),
        (ask(path="/x", mode=FETCH), told("", content_length=7), "download x", "no type, by script"),
        (ask("POST", "/x", FETCH), told(""), None, "no type, the answer to a call"),
        (ask(path="/f.woff2", mode=SUBRESOURCE), told(""), None, "a font without a type"),
        (ask("OPTIONS", "/a.zip", FETCH), told("application/zip"), "download a.zip", "a server that minds no method"),
        (ask(path="/a.zip", mode=RequestMode.WEBSOCKET), told("application/zip"), "download a.zip", "a forged mode"),
        (ask(path="/a.png", mode=RequestMode.WEBSOCKET), told("image/png"), "download a.png", "a forged mode"),
        (ask(path="/a.docx", mode=FETCH), told("", content_length=7), "download a.docx", "no type, a file's name"),
        (ask(path="/x"), told("", content_length=0), "view", "nothing"),
        (ask(path="/a.iso", mode=FETCH), told("multipart/byteranges", 206), "download a.iso", "several ranges"),
        (ask(path="/a.iso"), told("application/x-invented"), "download a.iso", "an unknown type"),

        (ask(path="/a.pdf"), told("application/pdf", 404), None, "an error"),
        (ask(path="/a.pdf"), told("application/pdf", 304), None, "not modified"),
        (ask(path="/a.pdf"), told("text/html", 302), None, "a redirect"),
        (ask(path="/a.pdf"), told("application/pdf", 204), None, "no content"),
        (ask("HEAD", "/a.pdf", OTHER), told("application/pdf"), None, "HEAD"),
        (ask("GET", "/ws", RequestMode.WEBSOCKET), told("", 101), None, "a socket"),
    ],
)  # fmt: skip
def test_recognise_response(request_: RequestFacts, response: ResponseFacts, expected: str | None, why: str) -> None:
    assert word(recognise_response(APP, request_, response)) == expected, why


def test_facts_of_a_download() -> None:
    facts = recognise_response(APP, ask(path="/d/Q3.XLSX"), told(XLSX, content_length=1234))
    assert facts == (
        ActivityType.DOWNLOAD,
        FileFacts(name="Q3.XLSX", extension="xlsx", size=1234, declared_type=XLSX),
    )


@pytest.mark.parametrize(
    "response",
    [told(XLSX, content_length=9, content_encoding="gzip"), told(XLSX, 206, content_length=9), told(XLSX)],
    ids=["compressed", "a part", "no length"],
)
def test_a_length_that_is_not_the_files_is_no_size(response: ResponseFacts) -> None:
    found = recognise_response(APP, ask(path="/a.xlsx"), response)
    assert found and found[1] and found[1].size is None


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (ask("PUT", "/a.xlsx", OTHER, content_length=9), 9),
        (ask("POST", "/chunk", FETCH, content_type="application/octet-stream", content_length=9), None),
        (ask("POST", "/f", content_type="multipart/form-data", content_length=9, upload_name="a.xlsx"), None),
    ],
    ids=["whole body", "perhaps a chunk", "a form is larger than its file"],
)
def test_size_of_an_upload(request_: RequestFacts, size: int | None) -> None:
    found = recognise_request(APP, request_)
    assert found and found[1] and found[1].size == size


SIGNED = replace(
    APP,
    signatures=(
        Signature(activity="none", path="/telemetry/*"),
        Signature(activity="share", methods=frozenset({"POST"}), path="/api/items/*/share"),
        Signature(activity="delete", methods=frozenset({"POST"}), query=frozenset({"delete"})),
        Signature(activity="download", methods=frozenset({"GET"}), path="/api/contents/*"),
        Signature(activity="upload", content_types=frozenset({"text/plain"}), path="/up/*", name_field="name"),
    ),
)


@pytest.mark.parametrize(
    ("request_", "expected", "why"),
    [
        (ask("POST", "/api/items/7/share", FETCH, content_length=0), "share", "path"),
        (
            ask("POST", "/api/items/7%2F8/share", FETCH, content_length=0),
            "share",
            "percents undone, as the origin does",
        ),
        (
            ask("POST", "//api//items/7/share", FETCH, content_length=0),
            "share",
            "empty segments dropped, as the origin does",
        ),
        (ask("GET", "/api/items/7/share", FETCH), None, "another method"),
        (ask("POST", "/api/items/7/shared", FETCH, content_length=0), None, "the whole path"),
        (
            ask("POST", "/d/a.xlsx", FETCH, content_length=0, query_names=frozenset({"delete", "x"})),
            "delete a.xlsx",
            "query name",
        ),
        (ask("POST", "/d/a.xlsx", FETCH, content_type="application/json"), None, "no such query name"),
        (ask("POST", "/telemetry/blob", FETCH, content_type="application/octet-stream"), None, "none"),
        (ask("POST", "/up/x", FETCH, content_type="text/plain"), "upload", "content type"),
        (ask("POST", "/up/x", FETCH, content_type="text/plain", upload_name="a.doc"), "upload a.doc", "name read"),
        (ask("POST", "/up/x", FETCH, content_type="text/plain", upload_name=""), None, "read, and no name in it"),
        (ask("GET", "/api/contents/a.xlsx", FETCH), None, "downloads show in the response"),
        (
            ask("POST", "/d/", FETCH, content_type="multipart/form-data", query_names=frozenset({"delete"})),
            "upload",
            "a signature that did not ask for the body's type does not hide a file",
        ),
        (
            ask("POST", "/d/a.zip", FETCH, content_type="application/zip", query_names=frozenset({"delete"})),
            "upload",
            "nor a raw one",
        ),
    ],
)
def test_signatures_of_requests(request_: RequestFacts, expected: str | None, why: str) -> None:
    assert word(recognise_request(SIGNED, request_)) == expected, why


def test_signatures_of_responses() -> None:
    contents = ask(path="/api/contents/a.xlsx", mode=FETCH)
    assert word(recognise_response(SIGNED, contents, told("application/json"))) == "download a.xlsx"
    assert recognise_response(SIGNED, contents, told("application/json", 500)) is None
    telemetry = ask(path="/telemetry/a.zip")
    assert recognise_response(SIGNED, telemetry, told("application/zip", attachment=True)) is None
    shared = recognise_response(
        SIGNED, ask("POST", "/api/items/7/share", FETCH, content_length=0), told("application/zip")
    )
    assert word(shared) == "download share", "what an action answers with is judged too"


def test_without_an_app() -> None:
    assert signature_of(None, ask()) is None
    assert word(recognise_response(None, ask(path="/a.pdf"), told("application/pdf"))) == "download a.pdf"


def test_file_in_path() -> None:
    assert file_in_path(ask(path="/d/a.PDF")) == FileFacts(name="a.PDF", extension="pdf")
    assert file_in_path(ask(path="/d/")) is None


FILE_TYPES = ["application/pdf", "application/zip", "application/octet-stream", XLSX, "text/csv", "application/x-any"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "OPTIONS", "get", "ANYTHING"]),
    st.sampled_from(RequestMode),
    st.booleans(),
    st.booleans(),
    st.sampled_from(FILE_TYPES),
    st.sampled_from(["xlsx", "docx", "pdf", "zip", "csv"]),
    st.sampled_from([200, 203, 206]),
)
def test_no_claim_of_the_browser_turns_a_file_into_nothing(
    method: str, mode: RequestMode, save_as: bool, frame: bool, media_type: str, extension: str, status: int
) -> None:
    request = ask(method, path=f"/d/file.{extension}", mode=mode, save_as=save_as, frame=frame)
    found = recognise_response(APP, request, told(media_type, status))
    assert found and found[0] is ActivityType.DOWNLOAD and found[1] and found[1].extension == extension


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=8), st.text(max_size=20), st.sampled_from(RequestMode), st.text(max_size=20), st.integers(100, 599)
)
def test_any_facts_are_answered(method: str, path: str, mode: RequestMode, media_type: str, status: int) -> None:
    request = ask(method, path, mode, content_type=media_type)
    for found in (recognise_request(SIGNED, request), recognise_response(SIGNED, request, told(media_type, status))):
        assert found is None or isinstance(found[0], ActivityType)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "ANYTHING"]),
    st.sampled_from(RequestMode),
    st.sampled_from([*FILE_TYPES, "multipart/form-data", "multipart/related", "image/png"]),
    st.sampled_from(["/", "/api/x", "/d/a.xlsx"]),
)
def test_no_claim_of_the_browser_turns_an_upload_into_nothing(
    method: str, mode: RequestMode, media_type: str, path: str
) -> None:
    found = recognise_request(APP, ask(method, path, mode, content_type=media_type, content_length=5))
    assert found and found[0] is ActivityType.UPLOAD
