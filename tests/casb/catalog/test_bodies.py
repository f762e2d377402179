import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.bodies import LONGEST_JSON, json_name, must_read, read_body
from casb.errors import ContentError
from casb.model.activity import ActivityType, RequestFacts
from casb.model.app import App, Signature

APP = App(
    id="files",
    name="Files",
    domains=("files.example",),
    signatures=(
        Signature(activity="none", path="/quiet"),
        Signature(activity="upload", path="/always"),
        Signature(activity="upload", path="/form", content_types=frozenset({"multipart/form-data"})),
        Signature(activity="delete", path="/gone"),
        Signature(activity="share", path="/graphql", body=(("/operationName", ("Share*",)),)),
        Signature(activity="upload", path="/", content_types=frozenset({"text/plain"}), name_field="name"),
    ),
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(400)


def looks(content: bytes) -> bool:
    return content.startswith(b"\x89PNG")


def ask(method: str = "POST", path: str = "/x", content_type: str = "", **more: object) -> RequestFacts:
    return RequestFacts(
        method=method,
        scheme="https",
        host="h",
        port=443,
        path=path,
        content_type=content_type,
        **more,  # type: ignore[arg-type]
    )


FORM = "multipart/form-data"


@pytest.mark.parametrize(
    ("request_", "read", "why"),
    [
        (ask(content_type=FORM), True, "a form"),
        (ask(content_type=FORM, upload_name=""), False, "a form already read"),
        (ask(content_type=FORM, path="/quiet"), False, "a form that the app says is none"),
        (ask(content_type=FORM, path="/always"), False, "an upload whatever the form holds"),
        (ask(content_type=FORM, path="/form"), True, "the signature speaks of forms"),
        (ask(content_type=FORM, path="/gone"), True, "the signature hides no form"),
        (ask(content_type="text/plain", path="/"), True, "as the signature says"),
        (ask(content_type="application/octet-stream"), False, "raw bytes"),
        (ask(content_type="application/json"), True, "files may be inside"),
        (ask(content_type="application/json", content_length=0), False, "nothing inside"),
        (ask(content_type="multipart/related"), True, "a file and its description"),
        (ask(content_type="multipart/mixed"), True, "requests inside of the request"),
        (ask("GET"), False, "no body"),
        (ask("FETCH", content_type=FORM), True, "a method that nobody knows"),
        (ask(content_type="application/grpc"), False, "nothing that we can read"),
    ],
)
def test_must_read(request_: RequestFacts, read: bool, why: str) -> None:
    assert must_read(APP, request_, lambda kind: kind is ActivityType.UPLOAD) is read, why
    assert not must_read(APP, request_, lambda kind: False), "where no policy looks, nothing is read"


def test_what_a_signature_asks_for_is_read_for_its_activity_only() -> None:
    request = ask(path="/graphql", content_type="application/json")
    assert must_read(APP, request, lambda kind: kind is ActivityType.SHARE)
    assert not must_read(APP, request, lambda kind: kind is ActivityType.DELETE)


def contents(request: RequestFacts, body: bytes, header: str = "") -> Any:
    return read_body(APP, request, (header or request.content_type).encode(), body, looks)


@pytest.mark.parametrize(
    ("request_", "body", "files"),
    [
        (ask(content_type="application/json"), json.dumps({"name": "a.png", "d": base64.b64encode(PNG).decode()}), ["a.png"]),
        (ask(content_type="application/x-www-form-urlencoded"), "a=1&img=data%3Aimage%2Fpng%3Bbase64%2CaGk%3D", [""]),
        (ask(content_type="text/xml"), f"<a>{'data:image/png;base64,' + base64.b64encode(PNG).decode()}</a>", [""]),
        (ask(content_type="application/json"), "not json data:image/png;base64,aGk=", [""]),
        (ask(content_type="text/plain", path="/"), '{"name": "q3.xlsx", "size": 3}', ["q3.xlsx"]),
        (ask(content_type="application/json"), '{"a": 1}', []),
    ],
)  # fmt: skip
def test_files_inside_of_text(request_: RequestFacts, body: str, files: list[str]) -> None:
    assert [each.name for each in contents(request_, body.encode()).files] == files


def test_a_form_and_what_its_fields_say() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="pic"\r\n\r\ndata:image/png;base64,aGk=\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhi\r\n--b--\r\n'
    )
    found = contents(ask(content_type=FORM), body, f"{FORM}; boundary=b")
    assert [(each.name, each.content, each.part is None) for each in found.files] == [
        ("a.txt", b"hi", False),
        ("", b"hi", True),
    ]
    assert found.document["note"] == "hello"
    assert found.form is not None


def test_files_of_graphql_cannot_be_taken_out() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{"query": "mutation { add }", "variables": {"f": null}}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="map"\r\n\r\n{"0": ["variables.f"]}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="0"; filename="a.txt"\r\n\r\nhi\r\n--b--\r\n'
    )
    found = contents(ask(content_type=FORM), body, f"{FORM}; boundary=b")
    assert [each.name for each in found.files] == ["a.txt"]
    assert (found.form, found.document["query"]) == (None, "mutation { add }")


def test_a_related_body_is_a_file_with_its_description() -> None:
    body = (
        b'--b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{"name": "plan.pdf"}\r\n'
        b"--b\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.7\r\n--b--"
    )
    found = contents(ask(content_type="multipart/related"), body, "multipart/related; boundary=b")
    assert [(each.name, each.content_type, each.content) for each in found.files] == [
        ("plan.pdf", "application/pdf", b"%PDF-1.7")
    ]


def test_requests_inside_of_a_request() -> None:
    told = {"requests": [{"id": "1", "method": "post", "url": "/me/sendMail", "body": {"x": 1}}, {"id": 2}]}
    found = contents(ask(path="/v1.0/$batch", content_type="application/json"), json.dumps(told).encode())
    assert [(each.method, each.path, each.document) for each in found.inner] == [("POST", "/me/sendMail", {"x": 1})]
    mixed = (
        b"--b\r\nContent-Type: application/http\r\n\r\nDELETE /drive/v3/files/1 HTTP/1.1\r\n"
        b"Content-Type: application/json\r\n\r\n{}\r\n--b--"
    )
    found = contents(ask(content_type="multipart/mixed"), mixed, "multipart/mixed; boundary=b")
    assert [(each.method, each.path) for each in found.inner] == [("DELETE", "/drive/v3/files/1")]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"name": "q3.xlsx", "size": 3}', "q3.xlsx"),
        (b'{"name": "../../q3.xlsx"}', "q3.xlsx"),
        (b'{"name": 7}', ""),
        (b'{"srch": {}}', ""),
    ],
)
def test_json_name(body: bytes, name: str) -> None:
    assert json_name(APP, ask(path="/", content_type="text/plain"), body) == name


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'"' + b"a" * LONGEST_JSON + b'"',
        b'{"name": "a.txt", "name": "a.exe"}',
    ],
    ids=lambda body: repr(body[:5]),
)
def test_json_name_refuses(body: bytes) -> None:
    with pytest.raises(ContentError, match="U001"):
        json_name(APP, ask(path="/", content_type="text/plain"), body)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed", FORM]),
    st.sampled_from(["/", "/x", "/graphql", "/gone"]),
    st.binary(max_size=300),
)
def test_any_body_has_contents_or_its_one_error(kind: str, path: str, body: bytes) -> None:
    with contextlib.suppress(ContentError):
        contents(ask(path=path, content_type=kind), body, f"{kind}; boundary=b")
