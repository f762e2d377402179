import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.filenames import clean_name, extension_of, name_in_path, parse_disposition, upload_name


@pytest.mark.parametrize(
    ("header", "attachment", "filename", "why"),
    [
        ("attachment", True, None, "no name"),
        ("ATTACHMENT; FileName=q3.xlsx", True, "q3.xlsx", "case, token"),
        ('attachment; filename="q3 final.xlsx"', True, "q3 final.xlsx", "quoted"),
        ('attachment; filename="a;b.xlsx"; size=3', True, "a;b.xlsx", "semicolon in quotes"),
        (r'attachment; filename="a\"b.xlsx"', True, 'a"b.xlsx', "escaped quote"),
        ("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac.xlsx", True, "€.xlsx", "the extended one wins"),
        ("attachment; filename*=UTF-8''%e2%82%ac.xlsx; filename=\"x\"", True, "€.xlsx", "in either order"),
        ("attachment; filename*=iso-8859-1'de'%FC.txt", True, "ü.txt", "another charset"),
        ("attachment; filename*=klingon''x.txt; filename=y.txt", True, "y.txt", "unknown charset"),
        ("attachment; filename*=broken", True, "", "there is a file, its name cannot be read"),
        ('attachment; filename*0="pay"; filename*1="roll.xlsx"', True, "", "RFC 2231 pieces"),
        ("inline", False, None, "shown"),
        ('inline; filename="a.pdf"', False, "a.pdf", "shown, with a name"),
        ("inline;filename=a.pdf;filename=b.pdf", False, "a.pdf", "the first counts"),
        ("filename=a.pdf", False, "a.pdf", "type left out"),
        ('form-data; name="f"; filename="a.pdf"', False, "a.pdf", "a form's part"),
        ('form-data; name="f"; filename=""', False, "", "an empty file input"),
        ("strange; filename=a.pdf", True, "a.pdf", "unknown types are attachments, RFC 6266 section 4.2"),
        ("", False, None, "empty"),
        (";;;", False, None, "rubbish"),
        ('attachment; filename="unclosed.pdf', True, "unclosed.pdf", "no closing quote"),
        ('attachment; filename="../../etc/passwd"', True, "passwd", "folders"),
        (r'attachment; filename="C:\temp\q3.xlsx"', True, "q3.xlsx", "a Windows path is not an escape"),
        ('attachment; filename="Zahlen%202024%2Exlsx"', True, "Zahlen 2024.xlsx", "percents, as Chromium reads them"),
        ('attachment; filename="=?UTF-8?B?w7wueGxzeA==?="', True, "ü.xlsx", "RFC 2047"),
        ('attachment; filename="=?x?y?z?="', True, "=?x?y?z?=", "nearly RFC 2047"),
        ('attachment; filename="\udcfc.txt"', True, "ü.txt", "Latin-1 bytes"),
        ('attachment; filename="\udcc3\udcbc.txt"', True, "ü.txt", "UTF-8 bytes"),
    ],
)
def test_parse_disposition(header: str, attachment: bool, filename: str | None, why: str) -> None:
    found = parse_disposition(header)
    assert (found.attachment, found.filename) == (attachment, filename), why


def test_name_of_a_form_field() -> None:
    assert parse_disposition('form-data; name="act"').name == "act"
    assert parse_disposition("form-data").name is None


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, None),
        ({"content-disposition": 'attachment; filename="a.pdf"', "slug": "b.pdf"}, "a.pdf"),
        ({"content-disposition": "attachment", "slug": "b%20c.pdf"}, "b c.pdf"),
        ({"x-file-name": "%C3%BC.pdf"}, "ü.pdf"),
        ({"x-filename": "dir/a.pdf"}, "a.pdf"),
        ({"upload-metadata": "type dGV4dA==,filename cTMueGxzeA=="}, "q3.xlsx"),
        ({"upload-metadata": "filename !!!"}, None),
        ({"upload-metadata": "filename"}, None),
        ({"slug": "   "}, None),
    ],
)
def test_upload_name(headers: dict[str, str], name: str | None) -> None:
    assert upload_name(headers) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.xlsx", "b.xlsx"),
        ("/a/", ""),
        ("/", ""),
        ("", ""),
        ("/a/q3%20final.xlsx", "q3 final.xlsx"),
        ("/a/x%2Fy.xlsx", "y.xlsx"),
        ("/a/..", ""),
        ("/a/%2e%2e", ""),
    ],
)
def test_name_in_path(path: str, name: str) -> None:
    assert name_in_path(path) == name


@pytest.mark.parametrize(
    ("name", "clean", "why"),
    [
        ("exe\u202efdp.exe", "exefdp.exe", "no turned-around letters"),
        ("a\x00b.txt", "ab.txt", "no controls"),
        ("pay\u200broll.xlsx", "payroll.xlsx", "nothing invisible"),
        ("u\u0308.txt", "ü.txt", "one way to write ü"),
        ("x" * 300 + ".xlsx", "x" * 250 + ".xlsx", "the extension stays"),
        ("x" * 300, "x" * 255, "no extension"),
        ("..", "", "a folder"),
        ("\ud800.txt", "?.txt", "half a surrogate pair"),
    ],
)
def test_clean_name(name: str, clean: str, why: str) -> None:
    assert clean_name(name) == clean, why


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.XLSX", "xlsx"),
        ("a.tar.gz", "gz"),
        ("a", ""),
        ("", ""),
        (".xlsx", "xlsx"),
        ("a.exe. ..", "exe"),
        ("a.exe::$DATA", "exe"),
        ("a.", ""),
    ],
)
def test_extension_of(name: str, extension: str) -> None:
    assert extension_of(name) == extension


headers = st.text(max_size=80) | st.lists(
    st.sampled_from(
        ["attachment", "inline", ";", "filename", "*", "=", '"', "\\", "UTF-8''", "%e2", "a.pdf", " ", "=?"]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=250, deadline=None)
@given(headers)
def test_any_header_gives_a_safe_name(header: str) -> None:
    for name in (parse_disposition(header).filename, upload_name({"slug": header, "upload-metadata": header})):
        assert name is None or ("/" not in name and "\\" not in name and len(name) <= 255 and name.isprintable())
        assert name is None or clean_name(name) == name
