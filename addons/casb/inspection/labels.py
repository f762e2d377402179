"""The sensitivity label a file carries: MSIP metadata of Microsoft Purview in office files and PDF.

`docMetadata/LabelInfo.xml` wins over `MSIP_Label_<id>_*` custom properties, tenant by tenant (MS-OFFCRYPTO 2.6.3,
MS-OI29500 3.4.1.5); only the properties know the label's name. A label is a claim of whoever had the file: taking one
off is trivial, so a policy may ask more of a labelled file, never less.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import olefile  # type: ignore[import-untyped]  # ships no types
import pikepdf

from casb.errors import ContentError
from casb.inspection import xmlparts
from casb.inspection.filetype import PART
from casb.inspection.zips import Directory

_PROPERTY = re.compile(r"MSIP_Label_([0-9A-Fa-f-]{36})_(\w+)")
_CUSTOM = ("custom-properties", "customproperties")
_TEXT_LIMIT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label. `id` and `tenant` are lower-case GUIDs; `encrypts` is content bit 8."""

    id: str
    name: str = ""
    tenant: str = ""
    method: str = ""  # Standard (default or automatic) or Privileged (chosen by a person)
    encrypts: bool = False


def of_zip(directory: Directory) -> tuple[Label, ...]:
    """Of an OOXML or OpenDocument file. Raises `ContentError` when a part that matters cannot be read."""
    infos: list[Label] = []
    properties: dict[str, str] = {}
    for part in _parts(directory, ("classificationlabels",), "docmetadata/labelinfo.xml"):
        infos.extend(label_info(part))
    for part in _parts(directory, _CUSTOM, "docprops/custom.xml"):
        xmlparts.walk(part, on_start=(reader := _CustomProperties(properties)).start, on_text=reader.text)
    meta = directory.read("meta.xml", PART)
    if meta is not None:
        xmlparts.walk(meta, on_text=lambda name, attributes, text: _user_defined(properties, name, attributes, text))
    return merge(infos, from_properties(properties.items()))


def of_ole(container: olefile.OleFileIO) -> tuple[Label, ...]:
    """Of a legacy office file, or of the envelope of an encrypted one."""
    infos: list[Label] = []
    for path in container.listdir():
        if path[-1].lower() == "labelinfo" and container.get_size(path) <= PART:
            infos.extend(label_info(container.openstream(path).read()))
    properties: list[tuple[str, str]] = []
    if container.exists("\x05DocumentSummaryInformation"):
        for each in container.get_userdefined_properties("\x05DocumentSummaryInformation"):
            properties.append((_string(each.get("property_name")), _string(each.get("value"))))
    return merge(infos, from_properties(properties))


def of_pdf(pdf: pikepdf.Pdf) -> tuple[Label, ...]:
    """Of a PDF: its document information and its XMP packet (namespace pdfx)."""
    properties: dict[str, str] = {}
    information = pdf.trailer.get("/Info")
    if isinstance(information, pikepdf.Dictionary):
        for key, value in information.items():
            if key.startswith("/MSIP_Label_"):
                properties[key[1:]] = str(value)
    packet = _xmp(pdf)
    if packet is not None:
        with contextlib.suppress(ContentError):  # XMP is often sloppy, and never needed to open the file
            xmlparts.walk(packet, on_start=lambda _, found: properties.update(found), on_text=_into(properties))
    return merge((), from_properties(properties.items()))


def label_info(data: bytes) -> list[Label]:
    """`LabelInfo.xml`: labels that are enabled and not removed."""
    found: list[Label] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if name == "label" and _true(attributes.get("enabled", "")) and not _true(attributes.get("removed", "")):
            found.append(
                Label(
                    id=_guid(attributes.get("id", "")),
                    tenant=_guid(attributes.get("siteId", "")),
                    method=attributes.get("method", "")[:_TEXT_LIMIT],
                    encrypts=_encrypts(attributes.get("contentBits", "")),
                )
            )

    xmlparts.walk(data, start)
    return found


def from_properties(properties: Iterable[tuple[str, str]]) -> list[Label]:
    """Labels from `MSIP_Label_<id>_<key>` pairs; one that does not say `Enabled` counts as enabled."""
    by_id: dict[str, dict[str, str]] = {}
    for name, value in properties:
        if found := _PROPERTY.fullmatch(name):
            by_id.setdefault(found[1].lower(), {})[found[2].lower()] = value.strip()[:_TEXT_LIMIT]
    return [
        Label(
            id=label_id,
            name=keys.get("name", ""),
            tenant=_guid(keys.get("siteid", "")),
            method=keys.get("method", ""),
            encrypts=_encrypts(keys.get("contentbits", "")),
        )
        for label_id, keys in by_id.items()
        if _true(keys.get("enabled", "true"))
    ]


def merge(infos: Iterable[Label], properties: Iterable[Label]) -> tuple[Label, ...]:
    """One label per tenant: `LabelInfo.xml` decides, the properties lend it their name."""
    known = {each.id: each for each in properties}
    merged: dict[str, Label] = {}
    for info in infos:
        name = known[info.id].name if info.id in known else ""
        merged.setdefault(info.tenant, replace(info, name=name))
    for each in known.values():
        if each.tenant not in merged:
            merged[each.tenant] = each
    return tuple(merged.values())


class _CustomProperties:
    """`docProps/custom.xml`: the value is the text of the one child of a named `property`."""

    def __init__(self, into: dict[str, str]) -> None:
        self._into = into
        self._name = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "property":
            self._name = attributes.get("name", "")

    def text(self, name: str, attributes: Mapping[str, str], text: str) -> None:
        if name != "property" and self._name:
            self._into[self._name] = text
            self._name = ""


def _user_defined(into: dict[str, str], name: str, attributes: Mapping[str, str], text: str) -> None:
    if name == "user-defined":
        into[attributes.get("name", "")] = text


def _into(properties: dict[str, str]) -> xmlparts.OnText:
    def text(name: str, _: Mapping[str, str], value: str) -> None:
        if name.startswith("MSIP_Label_"):
            properties[name] = value

    return text


def _parts(directory: Directory, kinds: tuple[str, ...], usual: str) -> Iterable[bytes]:
    """The parts of a kind, by relationship, and under the usual name even when no relationship leads there."""
    relations = directory.read("_rels/.rels", PART)
    names = [target for kind, target in xmlparts.relations(relations) if kind in kinds] if relations else []
    for name in dict.fromkeys([*names, usual]):
        if (part := directory.read(name, PART)) is not None:
            yield part


def readable_xmp(pdf: pikepdf.Pdf) -> bool:
    """Whether the XMP packet is of sane length and well-formed: safe to hand to a full parser."""
    packet = _xmp(pdf)
    if packet is None:
        return False
    try:
        xmlparts.walk(packet)
    except ContentError:
        return False
    return True


def _xmp(pdf: pikepdf.Pdf) -> bytes | None:
    """The XMP packet, if it is stored plainly or deflated, and of sane length."""
    stream: Any = pdf.Root.get("/Metadata")
    if not isinstance(stream, pikepdf.Stream):
        return None
    raw = stream.read_raw_bytes()
    kind = stream.get("/Filter")
    names = [str(each) for each in kind] if isinstance(kind, pikepdf.Array) else [str(kind)] if kind is not None else []
    if names == ["/FlateDecode"]:
        try:
            raw = zlib.decompressobj().decompress(raw, PART + 1)
        except zlib.error:
            return None
    elif names:
        return None
    return raw if len(raw) <= PART else None


def _string(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return text.rstrip("\x00")


def _guid(text: str) -> str:
    return text.strip().strip("{}").lower()[:36]


def _true(text: str) -> bool:
    return text.strip().lower() in ("1", "true")


def _encrypts(bits: str) -> bool:
    return bits.strip().isdecimal() and len(bits) < 10 and bool(int(bits) & 8)
