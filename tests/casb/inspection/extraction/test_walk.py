"""What is read out of files of every kind, from which part, and what is said of those that cannot be read."""

# ruff: noqa: E501, RUF001  # tables, one file a line

from __future__ import annotations

import bz2
import email.message
import functools
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping

import libarchive
import openpyxl
import openpyxl.comments
import pikepdf
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import hostile_files as hostile
import made_files as made
from casb.inspection.extraction import Report, extract
from casb.inspection.limits import MIB, Limits, Why
from casb.model.signs import Sign

CARD = "4111111111111111"
W = hostile.WORD


def read(body: bytes, name: str = "", **more: object) -> tuple[dict[str, str], Report]:
    report = Report()
    parts: dict[str, str] = {}
    for piece in extract(io.BytesIO(body), len(body), name, report, **more):  # type: ignore[arg-type]
        parts[piece.part] = parts.get(piece.part, "") + piece.text.decode("utf-8")
    return parts, report


def runs(*texts: str) -> str:
    """A Word paragraph whose text is cut into runs, as spelling checkers do."""
    return "<w:p>" + "<w:proofErr/>".join(f"<w:r><w:t>{text}</w:t></w:r>" for text in texts) + "</w:p>"


def word(content: str) -> str:
    return f"<w:document {W}><w:body>{content}</w:body></w:document>"


def docx(members: Mapping[str, str | bytes]) -> bytes:
    return hostile.package("word/document.xml", {"word/document.xml": word(""), **members})


def xlsx() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Front"
    sheet["A1"], sheet["B1"], sheet["C1"] = "card", CARD, 4111111111111111
    sheet["A1"].comment = openpyxl.comments.Comment("said in a comment", "Bob")
    sheet.oddHeader.center.text = "in the header"
    hidden = book.create_sheet("Back")
    hidden["A1"] = "hidden away"
    hidden.sheet_state = "veryHidden"
    book.properties.creator, book.properties.keywords = "Ada", "payroll"
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def pdf(change: Callable[[pikepdf.Pdf], None] = lambda _: None, *, text: str = CARD, **saving: object) -> bytes:
    document = pikepdf.new()
    page = document.add_blank_page()
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
    page.Contents = document.make_stream(f"BT /F1 12 Tf 20 20 Td ({text}) Tj ET".encode())
    change(document)
    target = io.BytesIO()
    document.save(target, **saving)  # type: ignore[arg-type]
    return target.getvalue()


def attached(document: pikepdf.Pdf) -> None:
    inner = docx({"word/document.xml": word(runs("in it"))})
    document.attachments["inner.docx"] = pikepdf.AttachedFileSpec(document, inner)  # type: ignore[call-arg]


def filled(document: pikepdf.Pdf) -> None:
    field = pikepdf.Dictionary(FT=pikepdf.Name.Tx, T=pikepdf.String("iban"), V=pikepdf.String("filled in"))
    document.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array([document.make_indirect(field)]))


def scripted(document: pikepdf.Pdf) -> None:
    document.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("app.alert(1)"))


def noted(document: pikepdf.Pdf) -> None:
    note = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Text, Contents=pikepdf.String("a note"))
    document.pages[0].Annots = pikepdf.Array([note])
    document.docinfo["/Author"] = "Ada"


def mail(charset: str = "utf-8") -> bytes:
    message = email.message.EmailMessage()
    message["Subject"], message["From"], message["To"] = "Größe", "ada@a.example", "bob@b.example"
    message.set_content("Körper", charset=charset, cte="base64")
    message.add_alternative("<p>Kör<b>per</b></p>", subtype="html")
    message.add_attachment(docx({"word/document.xml": word(runs(CARD))}), maintype="application", subtype="octet-stream",
                           filename="Übersicht.docx")  # fmt: skip
    return message.as_bytes()


def nested_mail() -> bytes:
    outer = email.message.EmailMessage()
    outer["Subject"], outer["From"], outer["To"] = "outer", "a@a.example", "b@b.example"
    outer.set_content("see below")
    inner = email.message.EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("deep inside")
    outer.add_attachment(inner)
    return outer.as_bytes()


def packed(format_name: str) -> bytes:
    target = io.BytesIO()
    with libarchive.custom_writer(target.write, format_name) as archive:
        archive.add_file_from_memory("a.txt", len(CARD), CARD.encode())
    return target.getvalue()


def tar(name: str = "a.txt", body: bytes = CARD.encode()) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    return target.getvalue()


def zipped(method: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("a.txt", CARD * 9)
    return target.getvalue()


def picture(kind: str) -> bytes:
    image, target = Image.new("RGB", (4, 4)), io.BytesIO()
    if kind == "PNG":
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", CARD, zip=True)
        notes.add_itxt("Title", "Größe")
        image.save(target, kind, pnginfo=notes)
    else:
        exif = Image.Exif()
        exif[0x010E], exif[0x013B], exif[0x9C9C] = CARD, "Ada Lovelace", "Kommentar\0".encode("utf-16-le")
        image.save(target, kind, exif=exif)
    return target.getvalue()


BOX = (
    '<w:p><w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:Choice>'
    f"<w:txbxContent>{runs('in a box')}</w:txbxContent></mc:Choice></mc:AlternateContent></w:r></w:p>"
)
TEXTS: list[tuple[str, Callable[[], bytes], str, str]] = [
    ("docx", lambda: docx({"word/document.xml": word(runs("4111", "1111", "11111111"))}), "word/document.xml", CARD),
    ("docx deleted", lambda: docx({"word/document.xml": word("<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>")}), "word/document.xml", "gone"),
    ("docx cells", lambda: docx({"word/document.xml": word(f"<w:tbl><w:tr><w:tc>{runs('IBAN')}</w:tc><w:tc>{runs('DE89')}</w:tc></w:tr></w:tbl>")}), "word/document.xml", "IBAN\n\tDE89"),
    ("docx text box", lambda: docx({"word/document.xml": word(BOX)}), "word/document.xml", "in a box"),
    ("docx comment", lambda: docx({"word/comments.xml": f"<w:comments {W}><w:comment w:author='Bob'>{runs('hush')}</w:comment></w:comments>"}), "word/comments.xml", "Bob\nhush"),
    ("docx header", lambda: docx({"word/header1.xml": f"<w:hdr {W}>{runs('on top')}</w:hdr>"}), "word/header1.xml", "on top"),
    ("docx own XML", lambda: docx({"customXml/item1.xml": "<a><b>4111</b><b c='x'>1111</b></a>"}), "customXml/item1.xml", "4111\n1111"),
    ("docx in UTF-16", lambda: docx({"word/document.xml": word(runs("Größe")).encode("utf-16")}), "word/document.xml", "Größe"),
    ("docx link", lambda: docx({"word/_rels/document.xml.rels": "<Relationships><Relationship TargetMode='External' Type='x/hyperlink' Target='https://a.example/?card=1'/></Relationships>"}), "word/_rels/document.xml.rels", "https://a.example/?card=1"),
    ("docx in docx", lambda: docx({"word/embeddings/a.docx": docx({"word/document.xml": word(runs(CARD))})}), "word/embeddings/a.docx!/word/document.xml", CARD),
    ("docx object", lambda: docx({"word/embeddings/o.bin": made.compound({"\x01Ole10Native": made.native("n.txt", CARD.encode())})}), "word/embeddings/o.bin!/n.txt", CARD),
    ("xlsx row", xlsx, "xl/worksheets/sheet1.xml", f"card\t{CARD}\t{CARD}"),
    ("xlsx hidden", xlsx, "xl/worksheets/sheet2.xml", "hidden away"),
    ("xlsx comment", xlsx, "xl/comments/comment1.xml", "said in a comment"),
    ("xlsx header", xlsx, "xl/worksheets/sheet1.xml", "in the header"),
    ("xlsx sheet name", xlsx, "xl/workbook.xml", "Back"),
    ("xlsx unused string", lambda: hostile.xlsx("<row/>", "<si><t>never shown</t></si>"), "xl/sharedStrings.xml", "never shown"),
    ("xlsx exponent", lambda: hostile.xlsx('<row><c><v>4.111111111111111E15</v></c></row>'), "xl/worksheets/sheet1.xml", "4111111111111111"),
    ("xlsx last cell", hostile.last_cell, "xl/worksheets/sheet1.xml", "last 4111111111111111"),
    ("OpenDocument of old", lambda: hostile.zipped({"mimetype": "application/vnd.oasis.opendocument.text", "meta.xml": "<!DOCTYPE m PUBLIC '-//OpenOffice.org//DTD' 'm.dtd'><m/>", "content.xml": f"<!DOCTYPE c PUBLIC '-//OpenOffice.org//DTD' 'c.dtd'><c><p>{CARD}</p></c>"}), "content.xml", CARD),
    ("pdf", pdf, "page 1", CARD),
    ("pdf attachment", lambda: pdf(attached), "inner.docx!/word/document.xml", "in it"),
    ("pdf form", lambda: pdf(filled), "form", "filled in"),
    ("pdf note", lambda: pdf(noted), "annotations", "a note"),
    ("pdf without the owner's password", lambda: pdf(encryption=pikepdf.Encryption(user="", owner="x")), "page 1", CARD),
    ("rtf", lambda: rb"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0 Arial;}}\pard 4111\b 1111\b0 11111111\par \'cf\u1088?\u-10179?\u-8694?}", "", "4111111111111111\nПр\U0001f60a"),
    ("rtf object", lambda: b"{\\rtf1{\\object{\\*\\objdata " + (bytes.fromhex("0105000002000000") + (b"\x08\0\0\0Package\0" + b"\0\0\0\0" * 2) + len(CARD).to_bytes(4, "little") + CARD.encode()).hex().encode() + b"}}}", "object", CARD),
    ("html", lambda: b"<meta charset=iso-8859-1><p>4111<b>1111</b>&#49;1111111<p title='a title'>Gr\xf6\xdfe<!-- aside --><script>var a='x'</script>", "", "4111111111111111"),
    ("html attribute", lambda: b"<html><img alt='an image'>", "", "an image"),
    ("html comment", lambda: b"<html><!-- aside -->", "", "aside"),
    ("html behind NUL", lambda: b"<html><p>a\x00</p><p>behind</p>".replace(b"\x00", b"&#0;"), "", "behind"),
    ("xml", lambda: b"<?xml version='1.0'?><a card='x1'><b>4111</b></a>", "", " x1 4111\n"),
    ("xml with entities", lambda: b"<!DOCTYPE a [<!ENTITY e '4111'>]><a>&e;</a>", "", "4111"),
    ("xml, broken", lambda: b"<?xml version='1.0'?><a><b>4111</a>", "", "<b>4111"),
    ("mail body", mail, "part 1", "Körper"),
    ("mail html", lambda: mail("iso-8859-15"), "part 2", "Körper"),
    ("mail attachment", mail, "Übersicht.docx!/word/document.xml", CARD),
    ("mail subject", mail, "headers", "Subject: Größe"),
    ("mail in mail", nested_mail, "part 3", "deep inside"),
    ("mbox", lambda: b"From a Mon\nSubject: 1\nFrom: a@b\nTo: c@d\n\none\n\nFrom b Tue\nSubject: 2\nFrom: a@b\nTo: c@d\n\ntwo\n", "message 2!/part 0", "two"),
    ("msg", lambda: made.message("Re", "Körper", {}), "", "Körper"),
    ("msg attachment", lambda: made.message("Re", "", {"a.docx": docx({"word/document.xml": word(runs(CARD))})}), "a.docx!/word/document.xml", CARD),
    ("rar", lambda: made.rar("a.txt", CARD.encode()), "a.txt", CARD),
    ("cab", lambda: made.cabinet("a.txt", CARD.encode()), "a.txt", CARD),
    *((f"{each}", lambda each=each: packed(each), "a.txt", CARD) for each in ("7zip", "iso9660", "cpio_newc", "xar", "ar_bsd")),
    ("tar", tar, "a.txt", CARD),
    ("tar.gz", lambda: gzip.compress(tar(), mtime=0), "(content)!/a.txt", CARD),
    ("gz, two members", lambda: gzip.compress(b"4111", mtime=0) + gzip.compress(b"1111", mtime=0), "(content)", "41111111"),
    ("bz2", lambda: bz2.compress(CARD.encode()), "(content)", CARD),
    ("xz", lambda: lzma.compress(CARD.encode()), "(content)", CARD),
    ("zst", lambda: zstandard.compress(CARD.encode()), "(content)", CARD),
    *((f"zip method {each}", lambda each=each: zipped(each), "a.txt", CARD) for each in (0, 8, 12, 14)),
    ("zip in zip", lambda: hostile.deep_zip(3), "a.zip!/a.zip!/a.zip", CARD),
    ("zip behind a program", lambda: b"MZ" + bytes(100) + hostile.zipped({"a.txt": CARD}), "a.txt", CARD),
    ("zip behind a picture", lambda: b"GIF89a" + bytes(100) + hostile.zipped({"a.txt": CARD}), "a.txt", CARD),
    ("text behind a zip", lambda: hostile.zipped({"a.txt": ""}) + CARD.encode(), "(after)", CARD),
    ("member names", lambda: hostile.zipped({f"{CARD}.txt": ""}), "", CARD),
    ("png", lambda: picture("PNG"), "", CARD),
    ("png, text in UTF-8", lambda: picture("PNG"), "", "Größe"),
    ("jpeg", lambda: picture("JPEG"), "", CARD),
    ("jpeg, XP comment", lambda: picture("JPEG"), "", "Kommentar"),
    ("tiff", lambda: picture("TIFF"), "", CARD),
    ("webp", lambda: picture("WEBP"), "", CARD),
    ("program", lambda: b"\x7fELF" + bytes(60) + CARD.encode() + bytes(9) + "weit gespannt".encode("utf-16-le"), "", f"{CARD}\nweit gespannt"),
    ("utf-16 without a mark", lambda: f"Betrag\r\n{CARD}".encode("utf-16-le"), "", CARD),
    ("source code", lambda: f"# coding: cp1251\nключ = '{CARD}'\n".encode("cp1251"), "", "ключ"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "part", "expected"), [each[1:] for each in TEXTS], ids=[each[0] for each in TEXTS])
def test_text_and_where_it_comes_from(make: Callable[[], bytes], part: str, expected: str) -> None:
    parts, report = read(make())
    assert expected in parts.get(part, f"nothing in {part}: {parts}")
    assert report.problems == []


def damaged(body: bytes, at: int) -> bytes:
    return body[:at] + bytes(20) + body[at + 20 :]


PROBLEMS: list[tuple[str, Callable[[], bytes], Why]] = [
    ("docx cut in two", lambda: docx({"word/document.xml": word(runs("x" * 999))})[:-200], Why.CORRUPT),
    ("docx part damaged", lambda: docx({"word/document.xml": "<w:document"}), Why.CORRUPT),
    ("docx with entities", hostile.billion_laughs, Why.CORRUPT),
    ("docx with an outside entity", hostile.external_entity, Why.CORRUPT),
    ("xml of entities", lambda: hostile.billion_laughs(office=False), Why.BOMB),
    ("pdf with a password", lambda: pdf(encryption=pikepdf.Encryption(user="x", owner="y")), Why.ENCRYPTED),
    ("pdf in a zip, with a password", lambda: hostile.zipped({"a": pdf(encryption=pikepdf.Encryption(user="x"))}), Why.ENCRYPTED),
    ("pdf cut", lambda: b"%PDF-1.7\n1 0 obj", Why.CORRUPT),
    ("age in a tar", lambda: tar("a", b"age-encryption.org/v1\n-> x\n"), Why.ENCRYPTED),
    ("OpenDocument with a password", lambda: hostile.zipped({"mimetype": "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": "<m><encryption-data/></m>", "content.xml": b"\x01\x02"}), Why.ENCRYPTED),
    ("gz, damaged", lambda: damaged(gzip.compress(bytes(range(256)) * 99, mtime=0), 100), Why.CORRUPT),
    ("gz, cut", lambda: gzip.compress(bytes(range(256)) * 99, mtime=0)[:-300], Why.CORRUPT),
    ("zip member with another checksum", lambda: hostile.zipped({"a": "b"}).replace(zlib.crc32(b"b").to_bytes(4, "little"), b"1234"), Why.CORRUPT),
    ("Word 6", lambda: made.compound({"WordDocument": b"\xdc\xa5\x65\x00" + bytes(900)}), Why.UNSUPPORTED),
    ("Word without its table", lambda: made.compound({"WordDocument": b"\xec\xa5\xc1\x00" + bytes(900)}), Why.CORRUPT),
    ("Outlook's private format", lambda: b"\x78\x9f\x3e\x22" + bytes(90), Why.UNSUPPORTED),
    ("iWork", lambda: hostile.zipped({"Index/Document.iwa": b"\x00"}), Why.UNSUPPORTED),
    ("a deep zip", lambda: hostile.deep_zip(30), Why.BOMB),
    ("a deep gz", lambda: hostile.deep(60), Why.BOMB),
    ("a deep tar", lambda: hostile.deep_tar(20), Why.BOMB),
    ("a deep mail", lambda: hostile.nested_mail(3000), Why.BOMB),
    ("deep groups in RTF", lambda: hostile.nested_groups(5000), Why.BOMB),
    ("members that share bytes", hostile.quine_like_overlap, Why.BOMB),
    ("one string in many cells", lambda: hostile.shared_string(60_000), Why.BOMB),
]  # fmt: skip


@pytest.mark.parametrize(("make", "why"), [each[1:] for each in PROBLEMS], ids=[each[0] for each in PROBLEMS])
def test_what_cannot_be_read_says_why(make: Callable[[], bytes], why: Why) -> None:
    assert read(make())[1].why is why


def test_what_can_be_read_beside_it_is_read() -> None:
    locked = pdf(encryption=pikepdf.Encryption(user="x", owner="y"))
    parts, report = read(hostile.zipped({"locked.pdf": locked, "broken.docx": docx({})[:-30], "open.txt": CARD}))
    assert parts["open.txt"] == CARD
    assert report.problems == [(Why.ENCRYPTED, "locked.pdf"), (Why.CORRUPT, "broken.docx")]
    assert report.why is Why.ENCRYPTED


SMALL = Limits(inflated=MIB, text=MIB, floor=MIB, ratio=1, held=MIB, members=100, objects=50)


@pytest.mark.parametrize(
    ("make", "limits", "why"),
    [
        pytest.param(lambda: gzip.compress(bytes(3 * MIB), mtime=0), SMALL, Why.BOMB, id="gz"),
        pytest.param(lambda: hostile.zipped({"a": bytes(3 * MIB)}), SMALL, Why.BOMB, id="zip"),
        pytest.param(lambda: hostile.huge_part(3), SMALL, Why.BOMB, id="docx"),
        pytest.param(lambda: hostile.flate_pdf(80), SMALL, Why.BOMB, id="PDF stream"),
        pytest.param(lambda: hostile.pdf_of_objects(60), SMALL, Why.BOMB, id="PDF objects"),
        pytest.param(lambda: hostile.many_files(11), SMALL, Why.BOMB, id="members"),
        pytest.param(
            lambda: gzip.compress(b"a" * 2 * MIB, mtime=0),
            Limits(text=MIB, floor=3 * MIB, ratio=1),
            Why.BOMB,
            id="text",
        ),
        pytest.param(
            lambda: hostile.zipped({"a": hostile.zipped({"b": bytes(MIB // 2)}) + bytes(MIB // 2)}),
            Limits(held=MIB // 4),
            Why.TOO_LARGE,
            id="a part that must be kept and cannot",
        ),
    ],
)
def test_limits(make: Callable[[], bytes], limits: Limits, why: Why) -> None:
    assert read(make(), limits=limits)[1].why is why


def test_large_texts_and_tars_in_archives_are_read_as_they_come() -> None:
    text = f"{'line of a log ' * 40_000} {CARD}"
    for body in (hostile.zipped({"a.log": text}), gzip.compress(tar("a.log", text.encode()), mtime=0)):
        parts, report = read(body, "a.tar.gz", limits=Limits(held=64 * 1024))
        assert any(CARD in found for found in parts.values())
        assert report.problems == []


def test_without_texts_the_structure_is_read_all_the_same() -> None:
    body = hostile.zipped(
        {"a.zip": hostile.zipped({"b.docx": docx({"word/vbaProject.bin": b"x"}), "c": b"age-encryption.org/v1\n"})}
    )
    report = read(body, texts=False)[1]
    assert report.why is Why.ENCRYPTED
    assert {Sign.MACRO, Sign.NESTED_ARCHIVE, Sign.ENCRYPTED} <= report.signs


RELATION = "<Relationships><Relationship TargetMode='External' Type='http://x/{}' Target='{}'/></Relationships>"
SIGNS: list[tuple[str, Callable[[], bytes], set[Sign]]] = [
    ("nothing", lambda: docx({}), set()),
    ("macro", lambda: docx({"word/vbaProject.bin": b"x"}), {Sign.MACRO}),
    ("legacy macro", lambda: made.compound({"__properties_version1.0": b"", "Macros": {"VBA": {"dir": b"x"}}}), {Sign.MACRO}),
    ("remote template", lambda: docx({"word/_rels/settings.xml.rels": RELATION.format("attachedTemplate", "https://a.example/t.dotm")}), {Sign.REMOTE_TEMPLATE, Sign.EXTERNAL_LINK}),
    ("own template", lambda: docx({"word/_rels/settings.xml.rels": RELATION.format("attachedTemplate", "Normal.dotm")}), {Sign.EXTERNAL_LINK}),
    ("a link to click is none", lambda: docx({"word/_rels/document.xml.rels": RELATION.format("hyperlink", "https://a.example")}), set()),
    ("remote picture", lambda: docx({"word/_rels/document.xml.rels": RELATION.format("image", "https://a.example/x.png")}), {Sign.EXTERNAL_LINK}),
    ("PDF script", lambda: pdf(scripted), {Sign.ACTIVE_CONTENT}),
    ("PDF behind something", lambda: b"GIF8 not quite\n" + pdf(), {Sign.POLYGLOT}),
    ("something behind PDF", lambda: pdf() + b"MZ something", {Sign.POLYGLOT}),
    ("PDF attachment", lambda: pdf(attached), {Sign.EMBEDDED_FILE}),
    ("smuggling", lambda: b"<html><script>URL.createObjectURL(new Blob([x]))</script>", {Sign.ACTIVE_CONTENT}),
    ("program in a zip", lambda: hostile.zipped({"a": b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0"}), {Sign.EMBEDDED_EXECUTABLE}),
    ("script in a zip", lambda: hostile.zipped({"a.ps1": "whatever"}), {Sign.EMBEDDED_EXECUTABLE}),
    ("zip slip", lambda: hostile.zipped({"../../a.txt": "x"}), {Sign.PATH_IN_NAME}),
    ("tar slip", lambda: tar("/etc/passwd", b"x"), {Sign.PATH_IN_NAME}),
    ("reversed name in a zip", lambda: hostile.zipped({"a\u202efdp.exe": "x"}), {Sign.RTLO}),
    ("archive in an archive", lambda: hostile.deep_zip(2), {Sign.NESTED_ARCHIVE}),
    ("a tar.gz is one archive", lambda: gzip.compress(tar(), mtime=0), set()),
    ("self-extracting", lambda: b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + hostile.zipped({"a": "b"}), {Sign.SELF_EXTRACTING}),
    ("picture and archive", lambda: b"GIF89a" + b"\x01" * 50 + hostile.zipped({"a": "b"}), {Sign.POLYGLOT}),
    ("mail with a file", mail, {Sign.EMBEDDED_FILE}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "signs"), [each[1:] for each in SIGNS], ids=[each[0] for each in SIGNS])
def test_signs(make: Callable[[], bytes], signs: set[Sign]) -> None:
    assert read(make(), "a.tar.gz")[1].signs == signs


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(xlsx, {("author", "Ada"), ("keywords", "payroll")}, id="xlsx"),
        pytest.param(lambda: pdf(noted), {("author", "Ada")}, id="PDF"),
        pytest.param(lambda: rb"{\rtf1{\info{\author Ada}{\company Contoso}}x}", {("author", "Ada"), ("company", "Contoso")}, id="RTF"),
        pytest.param(mail, {("title", "Größe"), ("author", "ada@a.example")}, id="mail"),
        pytest.param(lambda: made.message("Re: x", "", {}), {("title", "Re: x")}, id="Outlook"),
        pytest.param(lambda: picture("JPEG"), {("author", "Ada Lovelace"), ("title", CARD)}, id="JPEG"),
    ],
)  # fmt: skip
def test_properties(make: Callable[[], bytes], expected: set[tuple[str, str]]) -> None:
    assert expected <= set(read(make())[1].properties)


@pytest.mark.parametrize(("second", "times"), [("in a box", 1), ("another", 1)])
def test_what_is_said_twice_for_old_programs_is_read_once(second: str, times: int) -> None:
    twice = BOX.replace("</mc:Choice>", f"</mc:Choice><mc:Fallback><w:pict>{runs(second)}</w:pict></mc:Fallback>")
    found = read(docx({"word/document.xml": word(runs("4111") + twice + runs("after"))}))[0]["word/document.xml"]
    assert found.count("in a box") == times
    assert second in found and "after" in found


@pytest.mark.parametrize("size", [0, 1000, 5 << 30])
def test_a_text_may_be_as_large_as_its_file(size: int) -> None:
    assert Limits().allowed(size, Limits().text) >= 3 * size


def test_pieces_are_small_and_whole_characters() -> None:
    report = Report()
    body = ("ä" * 300_000).encode()
    pieces = list(extract(io.BytesIO(body), len(body), "a.txt", report))
    assert b"".join(piece.text for piece in pieces) == body
    assert all(len(piece.text) <= 2 * MIB and piece.text.decode() for piece in pieces)


EVERY: dict[str, Callable[[], bytes]] = {
    **{each[0]: each[1] for each in TEXTS},
    **{each[0]: each[1] for each in SIGNS},
}


@functools.cache
def once(name: str) -> bytes:
    """A file is the same each time, whatever dates its writer puts in."""
    return EVERY[name]()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_damage_gives_pieces_and_a_report(data: st.DataObject) -> None:
    body = bytearray(once(data.draw(st.sampled_from(sorted(EVERY)))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body))) :]
    read(bytes(body), limits=SMALL)
