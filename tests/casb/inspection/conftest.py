"""Files made here, by libraries where one exists: `files["name.ext"]` is the bytes."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping

import msoffcrypto
import openpyxl
import pikepdf
import pytest
from msoffcrypto.format.ooxml import OOXMLFile

GUID = "2096f6a2-d2f7-48be-b329-b73aaa526e5d"
TENANT = "cb46c030-1825-4e81-a295-151c039dbf02"
OFFICE = "http://schemas.openxmlformats.org"
CUSTOM = (
    f'<Properties xmlns="{OFFICE}/officeDocument/2006/custom-properties"'
    f' xmlns:vt="{OFFICE}/officeDocument/2006/docPropsVTypes">'
    + "".join(
        f'<property fmtid="{{D5CDD505-2E9C-101B-9397-08002B2CF9AE}}" pid="{pid}" name="{name}">'
        f"<vt:lpwstr>{value}</vt:lpwstr></property>"
        for pid, (name, value) in enumerate(
            [
                (f"MSIP_Label_{GUID}_Enabled", "true"),
                (f"MSIP_Label_{GUID}_Name", "Confidential"),
                (f"MSIP_Label_{GUID}_SiteId", TENANT),
                ("Project", "Apollo"),
            ],
            2,
        )
    )
    + "</Properties>"
)
LABEL_INFO = f"""<?xml version="1.0" encoding="utf-8"?>
<clbl:labelList xmlns:clbl="http://schemas.microsoft.com/office/2020/mipLabelMetadata">
<clbl:label id="{{{GUID}}}" enabled="1" method="Privileged" siteId="{{{TENANT}}}" contentBits="8" removed="0"/>
</clbl:labelList>"""


def zipped(members: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def office(part: str, content_type: str, more: Mapping[str, str | bytes] | None = None) -> bytes:
    """An OOXML package with one main part."""
    members: dict[str, str | bytes] = {
        "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types">'
        f'<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{part}" ContentType="{content_type}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{OFFICE}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/officeDocument/2006/relationships/officeDocument" Target="{part}"/>'
        f'<Relationship Id="r2" Type="{OFFICE}/officeDocument/2006/relationships/custom-properties"'
        f' Target="docProps/custom.xml"/>'
        f'<Relationship Id="r3" Type="http://schemas.microsoft.com/office/2020/02/relationships/classificationlabels"'
        f' Target="docMetadata/LabelInfo.xml"/></Relationships>',
        part: "<root/>",
    }
    return zipped(members | dict(more or {}))


def docx(more: Mapping[str, str | bytes] | None = None) -> bytes:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return office("word/document.xml", kind, more)


def xlsx() -> bytes:
    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = "salary"
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def encrypted_xlsx() -> bytes:
    target = io.BytesIO()
    OOXMLFile(io.BytesIO(xlsx())).encrypt("secret", target)
    assert msoffcrypto.OfficeFile(io.BytesIO(target.getvalue())).is_encrypted()
    return target.getvalue()


def pdf(*, label: bool = False, user: str | None = None, owner: str = "") -> bytes:
    document = pikepdf.new()
    document.add_blank_page()
    if label:
        document.docinfo[f"/MSIP_Label_{GUID}_Enabled"] = "true"
        document.docinfo[f"/MSIP_Label_{GUID}_Name"] = "Confidential"
    target = io.BytesIO()
    document.save(target, encryption=False if user is None else pikepdf.Encryption(user=user, owner=owner))
    return target.getvalue()


def ole(streams: Mapping[str, bytes]) -> bytes:
    """A compound file (MS-CFB version 3) of streams padded to 4096 bytes, so that no mini stream is needed."""
    sector, free, end, none = 512, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF
    padded = {name: data.ljust(max(4096, -(-len(data) // sector) * sector), b"\0") for name, data in streams.items()}
    entries, body, table = [("Root Entry", 5, none, end, 0)], b"", list[int]()
    directory_sectors = -(-(len(padded) + 1) // 4)
    at = 1 + directory_sectors
    for name, data in padded.items():
        count = len(data) // sector
        entries.append((name, 2, none, at, len(data)))
        table += [*range(at + 1, at + count), end]
        body += data
        at += count
    fat = [0xFFFFFFFD, *range(2, 1 + directory_sectors), end, *table]
    assert len(fat) <= 128
    directory = b""
    for index, (name, kind, _, start, length) in enumerate(entries):
        raw = (name + "\0").encode("utf-16-le")
        right = index + 1 if 0 < index < len(entries) - 1 else none
        child = 1 if index == 0 and len(entries) > 1 else none
        directory += struct.pack("<64sHBBIII16sIQQ", raw, len(raw), kind, 1, none, right, child, b"", 0, 0, 0)
        directory += struct.pack("<IQ", start, length)
    directory = directory.ljust(directory_sectors * sector, b"\0")
    magic = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header = struct.pack("<8s16s5H6x", magic, b"", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, 1, 1, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", 0, *[free] * 108)
    fat_sector = struct.pack("<128I", *fat, *[free] * (128 - len(fat)))
    return header + fat_sector + directory + body


def tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return target.getvalue()


def built() -> dict[str, bytes]:
    doc = b"\xec\xa5\xc1\x00" + bytes(7) + b"\x00"
    locked_doc = b"\xec\xa5\xc1\x00" + bytes(7) + b"\x01"
    bof = struct.pack("<HH16s", 0x0809, 16, b"")
    current = struct.pack("<HHII", 0, 0, 0x14, 0x14)
    macro = "application/vnd.ms-word.document.macroEnabled.main+xml"
    opendocument = "application/vnd.oasis.opendocument"
    odf_meta = (
        '<office:document-meta xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0">'
        f'<meta:user-defined meta:name="MSIP_Label_{GUID}_Name">Confidential</meta:user-defined></office:document-meta>'
    )
    return {
        "plain.docx": docx(),
        "labelled.docx": docx({"docProps/custom.xml": CUSTOM, "docMetadata/LabelInfo.xml": LABEL_INFO}),
        "custom.docx": docx({"docProps/custom.xml": CUSTOM}),
        "laughs.docx": docx({"docProps/custom.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}),
        "broken.docx": docx({"docProps/custom.xml": "<Properties>"}),
        "rights.docx": ole({"EncryptedPackage": b"", "LabelInfo": LABEL_INFO.encode().ljust(4096)}),
        "labelinfo.docx": docx({"docMetadata/LabelInfo.xml": LABEL_INFO}),
        "macro.docm": office("word/document.xml", macro),
        "book.xlsx": xlsx(),
        "encrypted.xlsx": encrypted_xlsx(),
        "show.pptx": office(
            "ppt/presentation.xml", "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
        ),
        "notes.odt": zipped({"mimetype": f"{opendocument}.text", "meta.xml": odf_meta}),
        "sheet.ods": zipped({"mimetype": f"{opendocument}.spreadsheet"}),
        "app.jar": zipped({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"}),
        "some.zip": zipped({"a.txt": "a", "b/c.txt": "c"}),
        "empty.zip": zipped({}),
        "plain.pdf": pdf(),
        "labelled.pdf": pdf(label=True),
        "locked.pdf": pdf(user="secret", owner="owner"),
        "owner.pdf": pdf(label=True, user="", owner="owner"),
        "old.doc": ole({"WordDocument": doc}),
        "locked.doc": ole({"WordDocument": locked_doc}),
        "old.xls": ole({"Workbook": bof + struct.pack("<HH", 0x42, 2)}),
        "locked.xls": ole({"Workbook": bof + struct.pack("<HH", 0x2F, 54)}),
        "old.ppt": ole({"PowerPoint Document": b"", "Current User": current + struct.pack("<I", 0xE391C05F)}),
        "locked.ppt": ole({"PowerPoint Document": b"", "Current User": current + struct.pack("<I", 0xF3D1C4DF)}),
        "mail.msg": ole({"__properties_version1.0": b""}),
        "some.gz": gzip.compress(b"x" * 100),
        "some.tar": tar(),
    }


@pytest.fixture(scope="session")
def files() -> Mapping[str, bytes]:
    return built()
