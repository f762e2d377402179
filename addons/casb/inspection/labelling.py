"""Writing a sensitivity label into an office file or a PDF: MSIP metadata as Microsoft Purview writes it.

OOXML gets both forms: `docMetadata/LabelInfo.xml` (MS-OFFCRYPTO 2.6.3) and the `MSIP_Label_<id>_*` custom properties
that older programs and most other vendors read. Members of the package that need not change are copied as they are
packed, so writing costs what copying costs. PDF gets the properties in its document information and in XMP (pdfx).

A label of the same tenant stays when it ranks as high or higher, or when its rank is not known: a label is never
lowered. Labels of other tenants always stay. Every function here gives bytes or raises `ContentError`.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pikepdf
from lxml import etree

from casb.errors import ContentError
from casb.inspection import labels, xmlparts
from casb.inspection.filetype import PART
from casb.inspection.labels import Label
from casb.inspection.zips import Directory

RELATIONS = "_rels/.rels"
TYPES = "[Content_Types].xml"

_OFFICE = "http://schemas.openxmlformats.org"
_RELATION = f"{_OFFICE}/package/2006/relationships"
_TYPE = f"{_OFFICE}/package/2006/content-types"
_CUSTOM_RELATION = f"{_OFFICE}/officeDocument/2006/relationships/custom-properties"
_CUSTOM_TYPE = "application/vnd.openxmlformats-officedocument.custom-properties+xml"
_CUSTOM = f"{_OFFICE}/officeDocument/2006/custom-properties"
_VARIANT = f"{_OFFICE}/officeDocument/2006/docPropsVTypes"
_STRICT = "http://purl.oclc.org/ooxml/officeDocument"
_INFO_RELATION = "http://schemas.microsoft.com/office/2020/02/relationships/classificationlabels"
_INFO_TYPE = "application/vnd.ms-office.classificationlabels+xml"
_INFO = "http://schemas.microsoft.com/office/2020/mipLabelMetadata"
_FORMAT = "{D5CDD505-2E9C-101B-9397-08002B2CF9AE}"  # FMTID_UserDefinedProperties
_FIRST_PID = 2

_NAME_LIMIT = 1024
_UTF8 = 0x800
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_EPOCH = (0, 0x21)  # 1980-01-01, as office programs write it
_LARGEST = 0xFFFFFFFE


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOrder:
    """Which label to write. `ranks` are the known labels by id, a higher number being stricter."""

    id: str  # GUID, lower case
    name: str
    tenant: str  # GUID, lower case: `SiteId`
    time: str  # RFC 3339 UTC: `SetDate`
    method: Literal["Standard", "Privileged"] = "Standard"  # Standard: applied by a rule
    encrypted: bool = False  # content bit 8: the file will be encrypted as well
    ranks: Mapping[str, int] = field(default_factory=dict)

    @property
    def bits(self) -> str:
        """`ContentBits`."""
        return "8" if self.encrypted else "0"

    def properties(self) -> dict[str, str]:
        """The `MSIP_Label_*` key/value pairs."""
        values = {
            "Enabled": "true",
            "SetDate": self.time,
            "Method": self.method,
            "Name": self.name,
            "SiteId": self.tenant,
            "ContentBits": self.bits,
        }
        return {f"MSIP_Label_{self.id}_{key}": value for key, value in values.items()}


NO_LABEL = Label(id="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The file, and the label it has now. `written` is False when a label was there that may not be lowered."""

    data: bytes
    label: Label
    written: bool


def keeps(found: Sequence[Label], order: LabelOrder) -> Label | None:
    """The label that is there and must stay; None when the new one is to be written."""
    rank = order.ranks.get(order.id, 0)
    for each in found:
        same_tenant = not each.tenant or each.tenant == order.tenant
        if same_tenant and (each.id == order.id or order.ranks.get(each.id, rank + 1) >= rank):
            return each
    return None


def label_ooxml(data: bytes, order: LabelOrder) -> Labelled:
    """An OOXML package with the label. Raises `ContentError` for whatever is no sound package."""
    package = _Package(data)
    stays = keeps(package.labels(), order)
    if stays is not None:
        return Labelled(data=data, label=stays, written=False)
    relations, types = _Relations(package.xml(RELATIONS)), _Types(package.xml(TYPES))
    info = relations.part(("classificationlabels",), _INFO_RELATION, "docMetadata/LabelInfo.xml")
    custom = relations.part(("custom-properties", "customproperties"), _CUSTOM_RELATION, "docProps/custom.xml")
    types.name(info, _INFO_TYPE)
    types.name(custom, _CUSTOM_TYPE)
    changed = {
        RELATIONS: relations.serialise(),
        TYPES: types.serialise(),
        info: _label_list(package.optional(info), order),
        custom: _custom_properties(package.optional(custom), order),
    }
    label = Label(id=order.id, name=order.name, tenant=order.tenant, method=order.method, encrypts=order.encrypted)
    return Labelled(data=package.rebuilt(changed), label=label, written=True)


def label_pdf(data: bytes, order: LabelOrder) -> Labelled:
    """A PDF with the label. Raises `ContentError`: F103 for an encrypted file, F012 for a signed one."""
    with open_pdf(data) as pdf:
        label, written = apply_to_pdf(pdf, order)
        return saved(pdf, label) if written else Labelled(data=data, label=label, written=False)


def saved(pdf: pikepdf.Pdf, label: Label) -> Labelled:
    """An open PDF that the label was written into, as bytes."""
    target = io.BytesIO()
    pdf.save(target)
    return Labelled(data=target.getvalue(), label=label, written=True)


def require_sound_ooxml(data: bytes) -> None:
    """Raises `ContentError` for a package that two readers could see differently, or that is a bomb."""
    _Package(data)


@contextlib.contextmanager
def open_pdf(data: bytes) -> Any:
    """A PDF that may be rewritten. Raises `ContentError`: F101 damaged, F103 encrypted, F012 signed."""
    try:
        with pikepdf.open(io.BytesIO(data), suppress_warnings=True) as pdf:
            if pdf.is_encrypted:
                raise ContentError("F103", "the file is encrypted")
            if signed(pdf):
                raise ContentError("F012", "the file is signed, and rewriting it would break the signature")
            yield pdf
    except pikepdf.PasswordError:
        raise ContentError("F103", "the file is encrypted") from None
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, etree.LxmlError, RecursionError) as error:
        raise ContentError("F101", "the file is damaged") from error


def signed(pdf: pikepdf.Pdf) -> bool:
    """Whether a PDF carries a signature (ISO 32000-2 12.8): rewriting would break it."""
    root: Any = pdf.Root
    if "/Perms" in root or "/DSS" in root:
        return True
    form = root.get("/AcroForm")
    if not isinstance(form, pikepdf.Dictionary):
        return False
    flags = form.get("/SigFlags", 0)
    if isinstance(flags, int) and flags & 1:
        return True
    waiting = [each for each in form.get("/Fields", [])]
    seen = 0
    while waiting and seen < 100_000:
        seen += 1
        each = waiting.pop()
        if not isinstance(each, pikepdf.Dictionary):
            continue
        if each.get("/FT") == pikepdf.Name("/Sig") and "/V" in each:
            return True
        kids = each.get("/Kids")
        if isinstance(kids, pikepdf.Array):
            waiting.extend(kids)
    return seen >= 100_000


def apply_to_pdf(pdf: pikepdf.Pdf, order: LabelOrder) -> tuple[Label, bool]:
    """Write the label into an open PDF: the label it has then, and whether it was written."""
    found = labels.of_pdf(pdf)
    stays = keeps(found, order)
    if stays is not None:
        return stays, False
    replaced = {each.id for each in found if not each.tenant or each.tenant == order.tenant}
    packet: Any = pdf.Root.get("/Metadata")
    if packet is not None and not labels.readable_xmp(pdf):
        del pdf.Root["/Metadata"]  # too long, or packed in a way of its own: not to be parsed
    information = pdf.docinfo
    for key in [str(each) for each in information.keys()]:
        if _of(key.removeprefix("/"), replaced):
            del information[key]
    with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as xmp:
        for name in list(xmp):
            if _of(name.rpartition("}")[2], replaced):
                del xmp[name]
        for name, value in order.properties().items():
            xmp[f"pdfx:{name}"] = value
            information[f"/{name}"] = value
    label = Label(id=order.id, name=order.name, tenant=order.tenant, method=order.method, encrypts=order.encrypted)
    return label, True


def _of(name: str, ids: set[str]) -> bool:
    return name.startswith("MSIP_Label_") and name[11:47].lower() in ids


class _Package:
    """An OOXML package that is sound; refused otherwise: what two readers see differently is not to be guessed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._directory = Directory(io.BytesIO(data), len(data))
        self._directory.require_harmless()
        if self._directory.encrypted:
            raise ContentError("F103", "a member is encrypted")
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            self._members = self._archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError) as error:
            raise ContentError("F101", "the archive has no sound directory") from error
        self._check()

    def _check(self) -> None:
        names: set[str] = set()
        spans: list[tuple[int, int]] = []
        for each in self._members:
            name = each.orig_filename
            parts = name.split("/")
            odd = "\\" in name or "\0" in name or name.startswith("/") or ".." in parts or len(name) > _NAME_LIMIT
            if odd or name.lower() in names:
                raise ContentError("F101", "the archive has a member with an impossible or repeated name")
            if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ContentError("F101", "a member is packed in an unknown way")
            names.add(name.lower())
            start = self._content(each)
            spans.append((each.header_offset, start + each.compress_size))
        spans.sort()
        if any(right[0] < left[1] for left, right in itertools.pairwise(spans)):
            raise ContentError("F102", "members of the archive share their bytes")
        if not {RELATIONS.lower(), TYPES.lower()} <= names:
            raise ContentError("F101", "this is no office package")

    def _content(self, member: zipfile.ZipInfo) -> int:
        """Where the packed bytes begin. The local header must tell the same name as the directory."""
        head = self._data[member.header_offset : member.header_offset + _LOCAL.size]
        if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
            raise ContentError("F101", "a member is not where the directory says")
        fields = _LOCAL.unpack(head)
        at = member.header_offset + _LOCAL.size
        raw = self._data[at : at + fields[9]]
        start: int = at + fields[9] + fields[10]
        encoding = "utf-8" if member.flag_bits & _UTF8 else "cp437"
        if raw.decode(encoding, "replace") != member.orig_filename or fields[3] != member.compress_type:
            raise ContentError("F101", "a member is called differently in its own header")
        if start + member.compress_size > len(self._data):
            raise ContentError("F101", "a member is cut short")
        return start

    def labels(self) -> tuple[Label, ...]:
        return labels.of_zip(self._directory)

    def optional(self, name: str) -> bytes | None:
        return self._directory.read(name, PART)

    def xml(self, name: str) -> bytes:
        part = self.optional(name)
        if part is None:
            raise ContentError("F101", "this is no office package")
        return part

    def rebuilt(self, changed: Mapping[str, bytes]) -> bytes:
        """The package with some parts replaced or added; every other member as it was packed."""
        pending = {name.lower(): (name, content) for name, content in changed.items()}
        writer = _Writer()
        for each in self._members:
            name, content = pending.pop(each.orig_filename.lower(), (each.orig_filename, None))
            if content is not None:
                writer.add(each.orig_filename, content)
                continue
            start = self._content(each)
            raw = self._data[start : start + each.compress_size]
            writer.raw(name, each.compress_type, each.CRC, raw, each.file_size)
        for name, content in pending.values():
            writer.add(name, content)
        return writer.finish()


class _Writer:
    """A ZIP file from members that are packed already, and from new ones."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._entries = bytearray()
        self._count = 0

    def add(self, name: str, content: bytes) -> None:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = deflate.compress(content) + deflate.flush()
        self.raw(name, zipfile.ZIP_DEFLATED, zlib.crc32(content), packed, len(content))

    def raw(self, name: str, method: int, crc: int, packed: bytes, size: int) -> None:
        flags = 0 if name.isascii() else _UTF8
        encoded = name.encode("ascii" if name.isascii() else "utf-8", "surrogatepass")
        if max(len(packed), size, len(self._body)) > _LARGEST or self._count >= 0xFFFE:
            raise ContentError("F102", "the package is too large to be labelled")
        common = (20, flags, method, *_EPOCH, crc, len(packed), size, len(encoded), 0)
        offset = len(self._body)
        self._entries += _ENTRY.pack(b"PK\x01\x02", 20, *common, 0, 0, 0, 0, offset) + encoded
        self._body += _LOCAL.pack(b"PK\x03\x04", *common) + encoded + packed
        self._count += 1

    def finish(self) -> bytes:
        end = _END.pack(b"PK\x05\x06", 0, 0, self._count, self._count, len(self._entries), len(self._body), 0)
        return bytes(self._body + self._entries + end)


class _Relations:
    """`_rels/.rels`, to be added to."""

    def __init__(self, data: bytes) -> None:
        self._root = _parsed(data, f"{{{_RELATION}}}Relationships")

    def part(self, kinds: tuple[str, ...], kind: str, usual: str) -> str:
        """The part of a kind; a relationship to the usual name is added when there is none."""
        for each in self._elements():
            word = each.get("Type", "").rstrip("/").rpartition("/")[2].lower()
            if word in kinds and each.get("TargetMode") != "External":
                return _plain_part(each.get("Target", ""))
        taken = {each.get("Id") for each in self._elements()}
        number = next(number for number in range(1, len(taken) + 2) if f"rIdCasb{number}" not in taken)
        etree.SubElement(
            self._root, f"{{{_RELATION}}}Relationship", {"Id": f"rIdCasb{number}", "Type": kind, "Target": usual}
        )
        return usual

    def _elements(self) -> list[Any]:
        return [each for each in self._root if isinstance(each.tag, str)]

    def serialise(self) -> bytes:
        return _serialised(self._root)


class _Types:
    """`[Content_Types].xml`, to be added to."""

    def __init__(self, data: bytes) -> None:
        self._root = _parsed(data, f"{{{_TYPE}}}Types")

    def name(self, part: str, content_type: str) -> None:
        """Say what a part is."""
        for each in self._root:
            if isinstance(each.tag, str) and each.get("PartName", "").lower() == f"/{part}".lower():
                each.set("ContentType", content_type)
                return
        etree.SubElement(self._root, f"{{{_TYPE}}}Override", {"PartName": f"/{part}", "ContentType": content_type})

    def serialise(self) -> bytes:
        return _serialised(self._root)


def _label_list(before: bytes | None, order: LabelOrder) -> bytes:
    """`LabelInfo.xml` with our label in the place of the tenant's."""
    tag = f"{{{_INFO}}}"
    root: Any = etree.Element(f"{tag}labelList", nsmap={"clbl": _INFO})
    if before is not None:
        root = _parsed(before, f"{tag}labelList")
        for each in list(root):
            if each.tag == f"{tag}label" and _bare(each.get("siteId", "")) in ("", order.tenant):
                root.remove(each)
    attributes = {
        "id": f"{{{order.id}}}",
        "enabled": "1",
        "method": order.method,
        "siteId": f"{{{order.tenant}}}",
        "contentBits": order.bits,
        "removed": "0",
    }
    root.insert(0, etree.Element(f"{tag}label", attributes))
    return _serialised(root)


def _custom_properties(before: bytes | None, order: LabelOrder) -> bytes:
    """`docProps/custom.xml` with our properties in the place of the tenant's."""
    space, variant = _CUSTOM, _VARIANT
    if before is not None and f"{_STRICT}/customProperties".encode() in before:
        space, variant = f"{_STRICT}/customProperties", f"{_STRICT}/docPropsVTypes"
    root: Any = etree.Element(f"{{{space}}}Properties", nsmap={None: space, "vt": variant})
    if before is not None:
        root = _parsed(before, f"{{{space}}}Properties")
    own = [each for each in root if isinstance(each.tag, str) and each.get("name", "").startswith("MSIP_Label_")]
    foreign = {
        each.get("name")[11:47].lower()
        for each in own
        if each.get("name").endswith("_SiteId") and _bare("".join(each.itertext())) != order.tenant
    }
    for each in own:
        if each.get("name")[11:47].lower() not in foreign - {order.id}:
            root.remove(each)
    pids = [int(each.get("pid")) for each in root if isinstance(each.tag, str) and each.get("pid", "").isdecimal()]
    pid = max([*pids, _FIRST_PID - 1]) + 1
    for number, (name, value) in enumerate(order.properties().items(), pid):
        entry = etree.SubElement(root, f"{{{space}}}property", {"fmtid": _FORMAT, "pid": str(number), "name": name})
        etree.SubElement(entry, f"{{{variant}}}lpwstr").text = value
    return _serialised(root)


def _parsed(data: bytes, tag: str) -> Any:
    """A part's root. Document types are refused before lxml sees the part; entities and the network stay off."""
    xmlparts.walk(data)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ContentError("F101", "an XML part is not well-formed") from error
    if root.tag != tag:
        raise ContentError("F101", "a part of the package is not what its name says")
    return root


def _serialised(root: Any) -> bytes:
    text: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
    return text


def _plain_part(target: str) -> str:
    """A relationship's target as a member's name. Raises `ContentError` for one that leads out of the package."""
    name = target.strip().replace("\\", "/").removeprefix("/").removeprefix("./")
    if (
        not name
        or ".." in name.split("/")
        or "\0" in name
        or len(name) > _NAME_LIMIT
        or name.lower().startswith("_rels/")
    ):
        raise ContentError("F101", "a relationship leads out of the package")
    return name


def _bare(guid: str) -> str:
    return guid.strip().strip("{}").lower()
