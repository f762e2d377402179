"""Forms with every trick: what is read here is what every parser reads, or it is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.multipart import MOST_PARTS, boundary_of, read_form, read_multipart
from casb.errors import ContentError

TYPE = b"multipart/form-data; boundary=xYz"


def form(*parts: bytes, end: bytes = b"--xYz--\r\n") -> bytes:
    return b"".join(b"--xYz\r\n" + part + b"\r\n" for part in parts) + end


def part(name: bytes = b'name="f"; filename="a.csv"', content: bytes = b"bytes", more: bytes = b"") -> bytes:
    return b"Content-Disposition: form-data; " + name + b"\r\n" + more + b"\r\n" + content


FILE = part()


@pytest.mark.parametrize(
    ("body", "names", "why"),
    [
        (form(), [], "no part at all"),
        (form(part(b'name="a"', b"login"), part(b'name="b"')), [], "fields only"),
        (form(FILE), ["a.csv"], "one file"),
        (b"\r\n" + form(FILE), ["a.csv"], "an empty line before it, as some libraries write"),
        (form(FILE, part(b'name="f"; filename="b.csv"')), ["a.csv", "b.csv"], "two of one name"),
        (form(part(b'name="f"; filename=""', b"")), [], "a file input left empty"),
        (form(part(b'name="f"; filename=""')), [""], "content without a name"),
        (form(part(b'name="f"', b"x", b"Content-Type: application/pdf\r\n")), [""], "a file's type without a name"),
        (form(part(b'name="f"', b"x", b"Content-Type: text/plain\r\n")), [], "a text"),
        (form(part(content=FILE)), ["a.csv"], "what looks like a head inside a file"),
        (form(part(b'name="f"; filename="\xc3\xbc.csv"')), ["ü.csv"], "UTF-8"),
        (form(part(b'name="f"; filename="\xfc.csv"')), ["ü.csv"], "Latin-1"),
        (form(part(b'name="f"; filename="../../etc/pass.csv"')), ["pass.csv"], "folders"),
        (form(part(b'name="f"; filename="C:\\docs\\a.csv"')), ["a.csv"], "folders of another system"),
        (form(part('name="f"; filename="a\u202evsc.exe"'.encode())), ["avsc.exe"], "written backwards"),
        (form(part(b'name="f"; filename="' + b"a" * 4000 + b'.exe"')), ["a" * 251 + ".exe"], "4 KB keep their end"),
        (form(part(b"name=f; filename*=UTF-8''%e2%82%ac.csv")), ["€.csv"], "the other spelling alone"),
        (form(part(b'name=f; filename="a.csv"; filename*=utf-8\'\'a.csv')), ["a.csv"], "both, the same"),
        (form(part(content=b"")), ["a.csv"], "an empty file"),
        (form(part(content=b"\r\n\r\n--xY\r\n")), ["a.csv"], "almost a boundary"),
    ],
)  # fmt: skip
def test_what_has_one_meaning(body: bytes, names: list[str], why: str) -> None:
    assert [each.filename or "" for each in read_form(TYPE, body).files()] == names, why


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "nothing"),
        (b"x" * 100_000 + form(FILE), "an endless preamble"),
        (b"preamble\r\n" + form(FILE), "a preamble"),
        (form(FILE) + b"epilogue", "an epilogue"),
        (form(FILE, end=b""), "no end"),
        (form(FILE, end=b"--xYz\r\n"), "an end that is none"),
        (form(FILE, end=b"--xYz-"), "half an end"),
        (form(FILE).replace(b"\r\n", b"\n"), "lines that end in LF"),
        (form(FILE).replace(b"\r\n", b"\r"), "lines that end in CR"),
        (form(part(content=b"a\n--xYz\n" + FILE)), "a boundary after LF"),
        (form(part(content=b"a\r--xYz\r\n" + FILE)), "a boundary after CR"),
        (form(part(content=b"a--xYz\r\n" + FILE)), "a boundary in a line"),
        (form(part(content=b"a\r\n--xYz \r\n" + FILE)), "a boundary and a blank"),
        (form(part(content=b"a\r\n--xYzz\r\n" + FILE)), "a longer boundary"),
        (form(part(content=b"a\r\n--xYz--\r\n" + FILE)), "an end in the middle"),
        (form(b"\r\nbytes"), "a part without a head"),
        (form(b"bytes"), "a part without an end of its head"),
        (form(b"Content-Type: text/csv\r\n\r\nbytes"), "a part that does not say what it is"),
        (form(b"Content-Disposition: attachment; filename=a.csv\r\n\r\nbytes"), "another disposition"),
        (form(part(more=b'Content-Disposition: form-data; name="f"; filename="a.exe"\r\n')), "two dispositions"),
        (form(part(more=b"content-type: text/csv\r\nContent-Type: text/html\r\n")), "two types"),
        (form(part(b'name="f"; filename="a.csv"; filename="a.exe"')), "two names"),
        (form(part(b'name="f"; filename="a.csv"; FileName="a.exe"')), "two names in other case"),
        (form(part(b'name="f"; filename="a.csv"; filename*=UTF-8\'\'a.exe')), "two spellings of two names"),
        (form(part(b'name="f"; filename*0="a."; filename*1="exe"')), "a name in pieces (RFC 2231)"),
        (form(part(b'name="f"; filename="a.csv"; filename*1="exe"')), "a name and a piece"),
        (form(part(b"name=\"f\"; name*=UTF-8''g")), "a field's name in another spelling"),
        (form(part(b'name="f"; filename="a.csv\\"; filename=\\"b.exe"')), "a quote that may end it"),
        (form(part(b'name="f"; filename="a.csv; filename=b.exe"')), "a parameter inside of a name"),
        (form(part(b'name="f"; filename="a.csv\\"')), "a backslash before the last quote"),
        (form(part(b'name="f"; filename = "a.csv"')), "blanks around the equals sign"),
        (form(part(b'name="f"; filename="a.csv')), "no closing quote"),
        (form(part(b"name=f; filename=a b.exe")), "a blank in a name without quotes"),
        (form(part(b'name="f"; filename="a.csv\x00.exe"')), "NUL"),
        (form(part(b'name="f"; filename="a\tb.csv"') .replace(b"\t", b"\x0b")), "a control character"),
        (form(part(b'name="f";\r\n filename="a.exe"')), "a folded line"),
        (form(b'Content-Disposition : form-data; name="f"; filename="a.exe"\r\n\r\nx'), "a blank before the colon"),
        (form(part(more=b"Content-Transfer-Encoding: base64\r\n")), "base64"),
        (form(part(more=b"Content-Transfer-Encoding: quoted-printable\r\n")), "quoted-printable"),
        (form(part(more=b"Content-Type: multipart/mixed; boundary=q\r\n")), "a form inside of the form"),
        (form(part(more=b"X: " + b"y" * 20_000 + b"\r\n")), "a head without end"),
        (b"--xYz\r\n\r\n" * 3, "parts of nothing"),
    ],
)  # fmt: skip
def test_what_has_more_than_one_meaning_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(ContentError, match="U002"):
        read_form(TYPE, body)


def test_there_is_an_end_to_parts() -> None:
    body = form(*[part(b"name=a", b"")] * (MOST_PARTS + 1))
    with pytest.raises(ContentError, match="more than"):
        read_form(TYPE, body)


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; boundary="a bc"', None),
        (b'multipart/form-data; boundary="abc"', b"abc"),
        (b"multipart/form-data; charset=utf-8; BOUNDARY=abc", b"abc"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=", None),
        (b"multipart/form-data; boundary=a; boundary=b", None),
        (b"multipart/form-data; boundary=a; boundary*=utf-8''b", None),
        (b'multipart/form-data; boundary="a\\"b"', None),
        (b"multipart/form-data; boundary=a,b", b"a,b"),
        (b"multipart/form-data; boundary=" + b"a" * 300, None),
        (b"multipart/form-data; boundary=abc;", b"abc"),
    ],
)
def test_boundary(header: bytes, boundary: bytes | None) -> None:
    if boundary is None:
        with pytest.raises(ContentError, match="U002"):
            boundary_of(header)
    else:
        assert boundary_of(header) == boundary


def test_parts_are_taken_out_and_nothing_else_changes() -> None:
    parts = [part(b'name="f"; filename="%d.csv"' % number, b"content %d" % number) for number in range(5)]
    body = form(part(b'name="a"', b"field"), *parts)
    read = read_form(TYPE, body)
    kept = read.without([each for each in read.files() if each.filename in ("1.csv", "3.csv")])
    assert kept == form(part(b'name="a"', b"field"), parts[0], parts[2], parts[4])
    assert read.without([]) == body


def test_related_parts_may_be_base64() -> None:
    body = (
        b'--xYz\r\nContent-Type: application/json\r\n\r\n{"name": "a.pdf"}\r\n'
        b"--xYz\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGV\r\nsbG8=\r\n--xYz--"
    )
    read = read_multipart(b"multipart/related; boundary=xYz", body)
    assert read.content(read.parts[1]) == b"hello"
    spoilt = read_multipart(b"multipart/related; boundary=xYz", body.replace(b"aGV", b"!!!"))
    with pytest.raises(ContentError):
        spoilt.content(spoilt.parts[1])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"--xYz", b"\r\n", b"--", b"--xYz--\r\n", b'Content-Disposition: form-data; name="f"',
                             b'; filename="a"', b":", b'"', b"\\", b"\r", b"\n", b"Content-Type: text/csv"]),
            st.binary(max_size=20),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_any_bytes_are_a_form_or_refused(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    try:
        read = read_form(TYPE, body)
    except ContentError as error:
        assert error.code == "U002"
        return
    assert read.without([]).lstrip(b"\r\n") == body.lstrip(b"\r\n")
    assert b"".join(read.content(each) for each in read.parts).count(b"--xYz") == 0
