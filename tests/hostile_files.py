"""Files that are meant to break their reader, made here in small: each says what it would become."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping

OFFICE = "http://schemas.openxmlformats.org"
WORD = f'xmlns:w="{OFFICE}/wordprocessingml/2006/main"'
SHEET = f'xmlns="{OFFICE}/spreadsheetml/2006/main"'
_MAIN = {
    "word/document.xml": "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    "xl/workbook.xml": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
    "ppt/presentation.xml": "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml",
}


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def package(main: str, members: Mapping[str, str | bytes]) -> bytes:
    """An OOXML package by the name of its main part, which is among the members."""
    types = (
        f'<Types xmlns="{OFFICE}/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{main}" ContentType="{_MAIN[main]}"/></Types>'
    )
    relations = (
        f'<Relationships xmlns="{OFFICE}/package/2006/relationships"><Relationship Id="r1"'
        f' Type="{OFFICE}/officeDocument/2006/relationships/officeDocument" Target="{main}"/></Relationships>'
    )
    return zipped({"[Content_Types].xml": types, "_rels/.rels": relations, **members})


def docx(text: str, more: Mapping[str, str | bytes] | None = None, *, prologue: str = "") -> bytes:
    body = f"{prologue}<w:document {WORD}><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    return package("word/document.xml", {"word/document.xml": body, **(more or {})})


def xlsx(cells: str, strings: str = "") -> bytes:
    """`cells` is the XML of rows."""
    members = {
        "xl/workbook.xml": f'<workbook {SHEET}><sheets><sheet name="S" sheetId="1"/></sheets></workbook>',
        "xl/worksheets/sheet1.xml": f"<worksheet {SHEET}><sheetData>{cells}</sheetData></worksheet>",
    }
    if strings:
        members["xl/sharedStrings.xml"] = f"<sst {SHEET}>{strings}</sst>"
    return package("xl/workbook.xml", members)


def huge_part(megabytes: int) -> bytes:
    """A docx whose text unpacks to so many megabytes of one letter."""
    return docx("a" * (megabytes << 20))


def billion_laughs(*, office: bool = True) -> bytes:
    lines = ['<!ENTITY l0 "ha">', *(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))]
    doctype = f"<!DOCTYPE w [{''.join(lines)}]>"
    return docx("&l9;", prologue=doctype) if office else f"{doctype}<w>&l9;</w>".encode()


def external_entity() -> bytes:
    return docx("&x;", prologue='<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>')


def last_cell() -> bytes:
    """One value in the last cell of the sheet: libraries make room for seventeen milliards."""
    one = '<c r="A1" t="inlineStr"><is><t>first</t></is></c>'
    last = '<c r="XFD1048576" t="inlineStr"><is><t>last 4111111111111111</t></is></c>'
    return xlsx(f'<row r="1">{one}</row><row r="1048576">{last}</row>')


def shared_string(times: int) -> bytes:
    """One long string in very many cells."""
    row = '<row><c t="s"><v>0</v></c></row>'
    return xlsx(row * times, f"<si><t>{'x' * 32767}</t></si>")


def flate_pdf(megabytes: int) -> bytes:
    """A page whose content unpacks to so many megabytes of blanks."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(megabytes)) + packer.flush()
    return pdf([b"<</Length %d/Filter/FlateDecode>>stream\n" % len(packed) + packed + b"\nendstream"])


def pdf_of_objects(count: int) -> bytes:
    return pdf([b"<</Length 0>>stream\n\nendstream", *(b"%d" % number for number in range(count))])


def pdf(more: list[bytes]) -> bytes:
    """One page; the first of the objects is its content."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>", *more]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, each in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + each + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out) + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)


def many_files(width: int) -> bytes:
    """A ZIP of `width` ZIPs of `width` empty files each."""
    inner = zipped({f"{number}": "" for number in range(width)})
    return zipped({f"{number}.zip": inner for number in range(width)})


def deep(levels: int, pack: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    body = b"4111111111111111"
    for _ in range(levels):
        body = pack(body)
    return body


def deep_zip(levels: int) -> bytes:
    return deep(levels, lambda body: zipped({"a.zip": body}))


def deep_tar(levels: int) -> bytes:
    def pack(body: bytes) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as archive:
            entry = tarfile.TarInfo("a.tar")
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
        return target.getvalue()

    return deep(levels, pack)


def gz_of(megabytes: int, pack: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    """So many megabytes of nothing: the same piece again and again, which is one file to every program."""
    return pack(bytes(1 << 20)) * megabytes


def nested_div(count: int) -> bytes:
    return b"<html><body>" + b"<div>" * count + b"4111111111111111"


def nested_mail(levels: int) -> bytes:
    """Parts of parts of parts."""
    lines = [b"From: a@b.example\nTo: c@d.example\nSubject: x\nMIME-Version: 1.0\n"]
    for number in range(levels):
        lines.append(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (number, number))
    return b"".join(lines) + b"\n4111111111111111\n"


def nested_groups(count: int) -> bytes:
    return b"{\\rtf1 " + b"{" * count + b"4111111111111111"


def nested_xml(count: int) -> bytes:
    return b"<?xml version='1.0'?>" + b"<a>" * count + b"4111111111111111" + b"</a>" * count


def quine_like_overlap() -> bytes:
    """Five hundred members that share the bytes of one (D. Fifield, A better zip bomb)."""
    single = zipped({"a": bytes(100_000)})
    start = single.index(b"PK\x01\x02")
    end = single.index(b"PK\x05\x06")
    entry = single[start:end]
    tail = single[end:]
    count = (500).to_bytes(2, "little")
    return single[:start] + entry * 500 + tail[:8] + count * 2 + (len(entry) * 500).to_bytes(4, "little") + tail[16:]
