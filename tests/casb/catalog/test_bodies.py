import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.bodies import LONGEST_JSON, FilePart, FormFiles, NameSource, json_name, name_source
from casb.errors import ContentError
from casb.model.activity import RequestFacts
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
        Signature(activity="upload", content_types=frozenset({"text/plain"}), name_field="name"),
    ),
)


def ask(method: str = "POST", path: str = "/", content_type: str = "", **more: object) -> RequestFacts:
    return RequestFacts(
        method=method,
        scheme="https",
        host="h",
        port=443,
        path=path,
        content_type=content_type,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("request_", "source", "why"),
    [
        (ask(content_type="multipart/form-data"), NameSource.FORM, "a form"),
        (ask(content_type="multipart/form-data", upload_name=""), None, "a form already read"),
        (ask(content_type="multipart/form-data", path="/quiet"), None, "a form that the app says is none"),
        (ask(content_type="multipart/form-data", path="/always"), None, "an upload whatever the form holds"),
        (ask(content_type="multipart/form-data", path="/form"), NameSource.FORM, "the signature speaks of forms"),
        (ask(content_type="multipart/form-data", path="/gone"), NameSource.FORM, "the signature hides no form"),
        (ask(content_type="application/json", path="/gone"), None, "as the signature says"),
        (ask(content_type="text/plain"), NameSource.JSON, "as the signature says"),
        (ask(content_type="application/octet-stream"), None, "a chunk holds no name"),
        (ask(content_type="application/json"), None, "an API call"),
        (ask("GET"), None, "no body"),
        (ask("FETCH", content_type="multipart/form-data"), NameSource.FORM, "a method that nobody knows"),
    ],
)
def test_name_source(request_: RequestFacts, source: NameSource | None, why: str) -> None:
    assert name_source(APP, request_) is source, why


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
    assert json_name(APP, ask(content_type="text/plain"), body) == name


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"\xff", b"[" * 100_000, b'"' + b"a" * LONGEST_JSON + b'"'],
    ids=lambda body: repr(body[:5]),
)
def test_json_name_refuses(body: bytes) -> None:
    with pytest.raises(ContentError, match="U001"):
        json_name(APP, ask(content_type="text/plain"), body)


def form(*parts: str, end: str = "--x--\r\n") -> bytes:
    return ("".join(f"--x\r\n{part}\r\n" for part in parts) + end).encode("utf-8", "surrogateescape")


def field(name: str, value: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'


def file(name: str, value: str = "bytes", media_type: str = "text/csv") -> str:
    return f'Content-Disposition: form-data; name="f"; filename="{name}"\r\nContent-Type: {media_type}\r\n\r\n{value}'


def files(body: bytes, content_type: str = "multipart/form-data; boundary=x", step: int = 0) -> list[FilePart]:
    reader = FormFiles(content_type)
    step = step or len(body)
    return [part for at in range(0, len(body), step) for part in reader.feed(body[at : at + step])]


@pytest.mark.parametrize(
    ("body", "expected", "why"),
    [
        (form(field("act", "login"), field("pw", "x")), [], "fields only"),
        (form(field("act", "bput"), file("a.csv")), [FilePart(name="a.csv", content_type="text/csv")], "one file"),
        (form(file("a.csv"), field("x", "y"), file("b.csv", media_type="Image/PNG; q=1")),
         [FilePart(name="a.csv", content_type="text/csv"), FilePart(name="b.csv", content_type="image/png")], "two"),
        (form(file("", "")), [], "a file input left empty"),
        (form(file("", "data")), [FilePart(name="", content_type="text/csv")], "content without a name"),
        (form(field("x", file("a.csv"))), [], "what looks like a head inside a field"),
        (form("Content-Disposition: form-data; name=f; filename*0=a\r\n\r\ndata"), [FilePart(name="")], "a split name"),
        (form(file("ü.csv")), [FilePart(name="ü.csv", content_type="text/csv")], "UTF-8"),
        (form(file("\udcfc.csv")), [FilePart(name="ü.csv", content_type="text/csv")], "Latin-1"),
    ],
)  # fmt: skip
def test_form_files(body: bytes, expected: list[FilePart], why: str) -> None:
    assert files(body) == expected, why
    assert files(body, step=1) == expected, "however it is cut"


def test_a_file_is_told_before_its_bytes_have_come() -> None:
    reader = FormFiles('multipart/form-data; boundary="x"')
    body = form(file("a.csv", "SECRET"))
    head = body[: body.index(b"SECRET")]
    assert reader.feed(head) == [FilePart(name="a.csv", content_type="text/csv")]
    assert not reader.finished
    assert reader.feed(body[len(head) :]) == []
    assert reader.finished


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "", "multipart/form-data; boundary=" + "x" * 257],
)
def test_no_boundary(content_type: str) -> None:
    with pytest.raises(ContentError, match="U002"):
        FormFiles(content_type)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no form at all, but long enough", "rubbish"),
        (
            form('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; filename="b"\r\n\r\nx'),
            "twice",
        ),
        (form("Content-Disposition\r\n\r\nx"), "a header without a colon"),
        (form("a: " + "b" * 100_000), "a header without end"),
    ],
)
def test_unreadable_forms(body: bytes, why: str) -> None:
    with pytest.raises(ContentError, match="U002"):
        files(body)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [b"--x", b"\r\n", b"--", b"Content-Disposition: form-data", b"; filename=", b'"', b"a", b":", b"\xff"]
        ),
        max_size=20,
    ).map(b"".join),
    st.integers(1, 50),
)
def test_any_body_gives_files_or_the_documented_error(body: bytes, step: int) -> None:
    with contextlib.suppress(ContentError):
        files(body, step=step)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.builds(field, st.sampled_from(["a", "b"]), st.text("ab\r\n-", max_size=8))
        | st.builds(file, st.sampled_from(["a.csv", "b c.xlsx", ""]), st.text("xyz\r\n-", max_size=8)),
        max_size=4,
    ),
    st.data(),
)
def test_cutting_does_not_matter(parts: list[str], data: st.DataObject) -> None:
    body = form(*parts) if parts else b""
    whole = files(body) if body else []
    assert not body or files(body, step=data.draw(st.integers(1, len(body)))) == whole
