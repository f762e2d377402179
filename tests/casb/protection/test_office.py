"""Office files under a password, as LibreOffice sees them; labels as LibreOffice shows and converts them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.labelling import LabelOrder, label_ooxml
from casb.inspection.scan import scan
from casb.protection.office import decrypt_ooxml, encrypt_ooxml
from libreoffice import KINDS, SECRET, look

LABEL = LabelOrder(
    id="2096f6a2-d2f7-48be-b329-b73aaa526e5d",
    name="Confidential",
    tenant="cb46c030-1825-4e81-a295-151c039dbf02",
    time="2026-01-01T00:00:00Z",
    encrypted=True,
)
PASSWORD = "k7qfd-2mnpq"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("office")

    def change(kind: str, data: bytes) -> dict[str, bytes]:
        return {f"sealed.{kind}": encrypt_ooxml(label_ooxml(data, LABEL).data, PASSWORD)}

    return folder / "files", look(folder, PASSWORD, change)


@pytest.mark.parametrize("kind", list(KINDS))
def test_libreoffice_opens_it_with_the_password_and_shows_the_label(
    seen: tuple[Path, dict[str, list[str]]], kind: str
) -> None:
    state, text, properties = seen[1][f"sealed.{kind}"]
    assert (state, text) == ("opened", SECRET)
    told = dict(each.split("=", 1) for each in properties.split(";") if each)
    assert LABEL.properties().items() <= told.items()


@pytest.mark.parametrize("kind", list(KINDS))
def test_libreoffice_is_refused_with_another_password(seen: tuple[Path, dict[str, list[str]]], kind: str) -> None:
    assert seen[1][f"sealed.{kind}?wrong"][0] == "refused"


@pytest.mark.parametrize("extension", ["odt", "doc"])
def test_the_label_is_read_in_what_libreoffice_makes_of_it(
    seen: tuple[Path, dict[str, list[str]]], extension: str
) -> None:
    path = seen[0] / f"out-sealed.docx.{extension}"
    facts = scan(path.read_bytes(), path.name)
    assert (facts.label, facts.label_id) == ("Confidential", LABEL.id)


def package(size: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr("word/document.xml", f"<a>{'x' * size}</a>")
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 2000, 3500, 7500, 9000])
def test_any_size_opens_again(size: int) -> None:
    plain = package(size)
    opened = decrypt_ooxml(encrypt_ooxml(plain, PASSWORD), PASSWORD)
    with zipfile.ZipFile(io.BytesIO(opened)) as after, zipfile.ZipFile(io.BytesIO(plain)) as before:
        assert {each: after.read(each) for each in before.namelist()} == {
            each: before.read(each) for each in before.namelist()
        }


def test_a_changed_file_does_not_open() -> None:
    sealed = bytearray(encrypt_ooxml(package(9000), PASSWORD))
    sealed[-3000] ^= 1
    with pytest.raises(ContentError) as error:
        decrypt_ooxml(bytes(sealed), PASSWORD)
    assert error.value.code == "F011"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "F101"), (b"PK\x03\x04", "F101"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "F103")],
    ids=["nothing", "a stump", "an OLE file"],
)
def test_what_is_no_package(data: bytes, code: str) -> None:
    with pytest.raises(ContentError) as error:
        encrypt_ooxml(data, PASSWORD)
    assert error.value.code == code


@settings(max_examples=30)
@given(st.binary(max_size=400))
def test_any_bytes_do_not_open_or_are_an_error(data: bytes) -> None:
    with pytest.raises(ContentError):
        decrypt_ooxml(data, PASSWORD)
    with pytest.raises(ContentError):
        decrypt_ooxml(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + data, PASSWORD)
