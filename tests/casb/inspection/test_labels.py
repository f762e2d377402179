"""Sensitivity labels: which one counts, and what does not count as one."""

from __future__ import annotations

import io
from collections.abc import Mapping

import olefile  # type: ignore[import-untyped]  # ships no types
import pikepdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.labels import Label, from_properties, label_info, merge, of_ole, of_pdf, of_zip
from casb.inspection.zips import Directory

GUID = "2096f6a2-d2f7-48be-b329-b73aaa526e5d"
OTHER = "11111111-2222-3333-4444-555555555555"
TENANT = "cb46c030-1825-4e81-a295-151c039dbf02"
CONFIDENTIAL = Label(id=GUID, name="Confidential", tenant=TENANT)


def of(body: bytes) -> tuple[Label, ...]:
    return of_zip(Directory(io.BytesIO(body), len(body)))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("plain.docx", (), id="none"),
        pytest.param("custom.docx", (CONFIDENTIAL,), id="custom properties"),
        pytest.param(
            "labelinfo.docx", (Label(id=GUID, tenant=TENANT, method="Privileged", encrypts=True),), id="LabelInfo.xml"
        ),
        pytest.param(
            "labelled.docx",
            (Label(id=GUID, name="Confidential", tenant=TENANT, method="Privileged", encrypts=True),),
            id="both: LabelInfo.xml counts, the properties know the name",
        ),
        pytest.param("notes.odt", (Label(id=GUID, name="Confidential"),), id="OpenDocument"),
    ],
)
def test_of_zip(name: str, labels: tuple[Label, ...], files: Mapping[str, bytes]) -> None:
    assert of(files[name]) == labels


def test_of_pdf(files: Mapping[str, bytes]) -> None:
    with pikepdf.open(io.BytesIO(files["labelled.pdf"])) as pdf:
        assert of_pdf(pdf) == (Label(id=GUID, name="Confidential"),)
    with pikepdf.open(io.BytesIO(files["plain.pdf"])) as pdf:
        assert of_pdf(pdf) == ()


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(f"><pdfx:MSIP_Label_{GUID}_Name>Confidential</pdfx:MSIP_Label_{GUID}_Name>", id="element"),
        pytest.param(f' pdfx:MSIP_Label_{GUID}_Name="Confidential">', id="attribute"),
    ],
)
def test_of_pdf_in_xmp(packet: str, deflated: bool) -> None:
    names = 'xmlns:pdfx="http://ns.adobe.com/pdfx/1.3/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    pdf = pikepdf.new()
    pdf.add_blank_page()
    rdf = f'<rdf:RDF><rdf:Description rdf:about=""{packet}</rdf:Description></rdf:RDF>'
    pdf.Root.Metadata = pikepdf.Stream(pdf, f'<x:xmpmeta xmlns:x="adobe:ns:meta/" {names}>{rdf}</x:xmpmeta>'.encode())
    target = io.BytesIO()
    pdf.save(target, compress_streams=deflated)
    with pikepdf.open(target) as saved:
        assert of_pdf(saved) == (Label(id=GUID, name="Confidential"),)


def test_of_ole_in_the_envelope_of_an_encrypted_file(files: Mapping[str, bytes]) -> None:
    with olefile.OleFileIO(io.BytesIO(files["rights.docx"])) as container:
        assert of_ole(container) == (Label(id=GUID, tenant=TENANT, method="Privileged", encrypts=True),)


@pytest.mark.parametrize(
    ("attributes", "count"),
    [
        pytest.param('enabled="1" removed="0"', 1, id="enabled"),
        pytest.param('enabled="true"', 1, id="XML Schema's other spelling"),
        pytest.param('enabled="0"', 0, id="not enabled"),
        pytest.param('enabled="1" removed="1"', 0, id="removed"),
        pytest.param("", 0, id="says nothing"),
    ],
)
def test_label_info(attributes: str, count: int) -> None:
    data = f'<labelList><label id="{{{GUID.upper()}}}" siteId="{{{TENANT}}}" contentBits="7" {attributes}/></labelList>'
    assert label_info(data.encode()) == [Label(id=GUID, tenant=TENANT)] * count


def properties(label_id: str = GUID, **keys: str) -> list[tuple[str, str]]:
    return [(f"MSIP_Label_{label_id}_{key}", value) for key, value in keys.items()]


@pytest.mark.parametrize(
    ("given_", "labels"),
    [
        pytest.param(properties(Enabled="true", Name="A"), [Label(id=GUID, name="A")], id="enabled"),
        pytest.param(properties(Enabled="True", ContentBits="8"), [Label(id=GUID, encrypts=True)], id="encrypts"),
        pytest.param(properties(Name="A"), [Label(id=GUID, name="A")], id="does not say: counts"),
        pytest.param(properties(Enabled="false", Name="A"), [], id="not enabled"),
        pytest.param([("MSIP_Label_short_Name", "A"), ("Title", "B")], [], id="other properties"),
        pytest.param(properties(ContentBits="9" * 5000), [Label(id=GUID)], id="absurd number"),
        pytest.param(properties(GUID.upper(), Name="A"), [Label(id=GUID, name="A")], id="upper case"),
    ],
)
def test_from_properties(given_: list[tuple[str, str]], labels: list[Label]) -> None:
    assert from_properties(given_) == labels


@pytest.mark.parametrize(
    ("infos", "found", "merged"),
    [
        pytest.param([], [CONFIDENTIAL], (CONFIDENTIAL,), id="properties alone"),
        pytest.param(
            [Label(id=OTHER, tenant=TENANT)], [CONFIDENTIAL], (Label(id=OTHER, tenant=TENANT),), id="LabelInfo.xml wins"
        ),
        pytest.param(
            [Label(id=OTHER, tenant="t")], [CONFIDENTIAL], (Label(id=OTHER, tenant="t"), CONFIDENTIAL), id="per tenant"
        ),
    ],
)
def test_merge(infos: list[Label], found: list[Label], merged: tuple[Label, ...]) -> None:
    assert merge(infos, found) == merged


@pytest.mark.parametrize("name", ["laughs.docx", "broken.docx"])
def test_parts_that_cannot_be_read_are_errors(name: str, files: Mapping[str, bytes]) -> None:
    with pytest.raises(ContentError, match=r"F10[14]"):
        of(files[name])


@given(st.binary(max_size=200))
def test_any_part_is_labels_or_an_error(data: bytes) -> None:
    try:
        label_info(data)
    except ContentError as error:
        assert error.code in {"F101", "F104"}


@given(st.lists(st.tuples(st.text() | st.just(f"MSIP_Label_{GUID}_Name"), st.text())))
def test_any_properties_are_labels(pairs: list[tuple[str, str]]) -> None:
    merge([], from_properties(pairs))
