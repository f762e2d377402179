"""Labels written into files: what stays, what is replaced, and what is refused."""

from __future__ import annotations

import io
import re
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import openpyxl
import pikepdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection import labels
from casb.inspection.labelling import LabelOrder, keeps, label_ooxml, label_pdf, open_pdf, signed
from casb.inspection.labels import Label
from casb.inspection.zips import Directory

GUID = "2096f6a2-d2f7-48be-b329-b73aaa526e5d"
TENANT = "cb46c030-1825-4e81-a295-151c039dbf02"
NEW, LOW, OTHER_TENANT = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "0" * 36
RANKS = {LOW: 1, NEW: 5, GUID: 9}
ORDER = LabelOrder(id=NEW, name="Internal & <own>", tenant=TENANT, time="2026-02-03T04:05:06Z", ranks=RANKS)
RAISE = LabelOrder(id=NEW, name="Internal", tenant=TENANT, time="2026-02-03T04:05:06Z", ranks={GUID: 1, NEW: 5})


def found(data: bytes) -> list[tuple[str, str, str]]:
    return [(each.id, each.name, each.tenant) for each in labels.of_zip(Directory(io.BytesIO(data), len(data)))]


@pytest.mark.parametrize(
    ("there", "order", "stays"),
    [
        pytest.param((), ORDER, False, id="none"),
        pytest.param((Label(id=LOW, tenant=TENANT),), ORDER, False, id="lower"),
        pytest.param((Label(id=NEW, tenant=TENANT),), ORDER, True, id="the same"),
        pytest.param((Label(id=GUID, tenant=TENANT),), ORDER, True, id="higher"),
        pytest.param((Label(id=OTHER_TENANT, tenant=TENANT),), ORDER, True, id="of unknown rank"),
        pytest.param((Label(id=GUID, tenant=OTHER_TENANT),), ORDER, False, id="of another tenant"),
        pytest.param((Label(id=GUID),), ORDER, True, id="higher, of no tenant"),
    ],
)
def test_keeps(there: tuple[Label, ...], order: LabelOrder, stays: bool) -> None:
    assert (keeps(there, order) is not None) is stays


def test_a_workbook_gets_both_forms_and_opens(files: Mapping[str, bytes]) -> None:
    del files
    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = "salary"
    target = io.BytesIO()
    book.save(target)
    done = label_ooxml(target.getvalue(), ORDER)
    assert done.written
    again = openpyxl.load_workbook(io.BytesIO(done.data))
    assert again.worksheets[0]["A1"].value == "salary"
    properties = {each.name: each.value for each in again.custom_doc_props.props}
    assert properties == ORDER.properties()
    assert found(done.data) == [(NEW, "Internal & <own>", TENANT)]
    with zipfile.ZipFile(io.BytesIO(done.data)) as archive:
        assert archive.testzip() is None
        assert "docMetadata/LabelInfo.xml" in archive.namelist()
        assert b"classificationlabels+xml" in archive.read("[Content_Types].xml")


def test_untouched_members_are_copied_as_they_are_packed(files: Mapping[str, bytes]) -> None:
    before = files["plain.docx"]
    after = label_ooxml(before, ORDER).data
    with zipfile.ZipFile(io.BytesIO(before)) as old, zipfile.ZipFile(io.BytesIO(after)) as new:
        same = {each.filename: (each.CRC, each.compress_size) for each in old.infolist()}
        kept = {each.filename: (each.CRC, each.compress_size) for each in new.infolist()}
        changed = {name for name in same if same[name] != kept[name]}
    assert changed <= {"_rels/.rels", "[Content_Types].xml"}


def test_an_older_label_of_the_tenant_goes_and_other_properties_stay(files: Mapping[str, bytes]) -> None:
    done = label_ooxml(files["labelled.docx"], RAISE)
    assert found(done.data) == [(NEW, "Internal", TENANT)]
    with zipfile.ZipFile(io.BytesIO(done.data)) as archive:
        custom = archive.read("docProps/custom.xml").decode()
    assert GUID not in custom
    assert "Apollo" in custom
    pids = [int(each) for each in re.findall(r'pid="(\d+)"', custom)]
    assert len(set(pids)) == len(pids)
    assert min(pids) >= 2
    again = label_ooxml(done.data, RAISE)
    assert not again.written
    assert again.data == done.data


def test_a_higher_label_stays(files: Mapping[str, bytes]) -> None:
    done = label_ooxml(files["labelled.docx"], ORDER)
    assert (done.written, done.data, done.label.id) == (False, files["labelled.docx"], GUID)


def repacked(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda m: m.update({"../evil": b"x"}), "F101", id="a name that leads out"),
        pytest.param(lambda m: m.update({"/abs": b"x"}), "F101", id="an absolute name"),
        pytest.param(lambda m: m.update({"a" * 4096: b"x"}), "F101", id="a name of 4 KB"),
        pytest.param(lambda m: m.update({"WORD/document.xml": b"x"}), "F101", id="two members of one name"),
        pytest.param(lambda m: m.update({"_rels/.rels": b"<a>"}), "F101", id="broken relationships"),
        pytest.param(lambda m: m.update({"_rels/.rels": b"<a/>"}), "F101", id="relationships that are none"),
        pytest.param(lambda m: m.pop("[Content_Types].xml"), "F101", id="no content types"),
        pytest.param(
            lambda m: m.update({"docProps/custom.xml": b'<!DOCTYPE a [<!ENTITY x "y">]><a/>'}), "F104", id="a DTD"
        ),
        pytest.param(
            lambda m: m.update({"docMetadata/LabelInfo.xml": bytes(5_000_000)}), "F102", id="a huge label part"
        ),
    ],
)
def test_hostile_packages(files: Mapping[str, bytes], change: Callable[[dict[str, bytes]], None], code: str) -> None:
    with pytest.raises(ContentError) as error:
        label_ooxml(repacked(files["plain.docx"], change), ORDER)
    assert error.value.code == code


def test_a_local_header_that_says_something_else(files: Mapping[str, bytes]) -> None:
    with pytest.raises(ContentError, match="called differently"):
        label_ooxml(files["plain.docx"].replace(b"word/document.xml", b"word/documenT.xml", 1), ORDER)


@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_any_bytes_are_labelled_or_an_error(noise: bytes, at: int) -> None:
    target = io.BytesIO()
    openpyxl.Workbook().save(target)
    whole = target.getvalue()
    place = at % len(whole)
    for data in (noise, whole[:place] + noise + whole[place + len(noise) :]):
        try:
            label_ooxml(data, ORDER)
        except ContentError:
            continue


def test_a_pdf_shows_its_label_to_poppler(files: Mapping[str, bytes], tmp_path: Path) -> None:
    done = label_pdf(files["plain.pdf"], RAISE)
    path = tmp_path / "out.pdf"
    path.write_bytes(done.data)
    shown = subprocess.run(["pdfinfo", "-custom", path], capture_output=True, check=True, text=True).stdout
    assert {line.partition(":")[0].strip() for line in shown.splitlines() if "MSIP" in line} == set(RAISE.properties())
    subprocess.run(["qpdf", "--check", path], capture_output=True, check=True)
    with pikepdf.open(path) as pdf:
        assert [(each.id, each.name, each.tenant) for each in labels.of_pdf(pdf)] == [(NEW, "Internal", TENANT)]
        assert f"MSIP_Label_{NEW}_SiteId".encode() in pdf.Root.Metadata.read_bytes()
    raised = label_pdf(label_pdf(files["labelled.pdf"], RAISE).data, RAISE)
    assert not raised.written
    with pikepdf.open(io.BytesIO(raised.data)) as pdf:
        assert {each.id for each in labels.of_pdf(pdf)} == {NEW}


def with_signature() -> bytes:
    document = pikepdf.new()
    document.add_blank_page()
    field = pikepdf.Dictionary(FT=pikepdf.Name.Sig, T="s", V=pikepdf.Dictionary(Type=pikepdf.Name.Sig))
    kids = pikepdf.Dictionary(T="parent", Kids=[document.make_indirect(field)])
    document.Root.AcroForm = pikepdf.Dictionary(Fields=[document.make_indirect(kids)])
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def test_a_signed_or_encrypted_pdf_is_left_alone(files: Mapping[str, bytes]) -> None:
    with pytest.raises(ContentError) as error:
        label_pdf(with_signature(), ORDER)
    assert error.value.code == "F012"
    target = io.BytesIO()
    with pikepdf.open(io.BytesIO(files["plain.pdf"])) as pdf:
        assert not signed(pdf)
        pdf.save(target, encryption=pikepdf.Encryption(user="", owner="x"))
    with pytest.raises(ContentError) as error:
        label_pdf(target.getvalue(), ORDER)
    assert error.value.code == "F103"


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"%PDF-1.7\ntrailer<</Root 1 0 R>>", bytes(100)], ids=repr)
def test_what_is_no_pdf(data: bytes) -> None:
    with pytest.raises(ContentError), open_pdf(data):
        raise AssertionError("opened")
