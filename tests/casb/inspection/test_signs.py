"""What names and claims give away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.inspection.media_types import DOCX, EMPTY, OCTETS, PDF, TEXT, ZIP
from casb.inspection.signs import executable, of_name, of_types
from casb.model.signs import MEANING, Sign

PROGRAM = "application/vnd.microsoft.portable-executable"
DOCM = "application/vnd.ms-word.document.macroenabled.12"


@pytest.mark.parametrize(
    ("name", "signs"),
    [
        ("report.docx", set()),
        ("Größe 2026 (1).pdf", set()),
        ("archive.tar.gz", set()),
        ("v1.2.pdf", set()),
        ("jquery.min.js", set()),
        ("photo.jpg.pdf", set()),
        ("naïve café ☕.txt", set()),
        ("invoice.pdf.exe", {Sign.DOUBLE_EXTENSION}),
        ("Invoice.PDF .scr", {Sign.DOUBLE_EXTENSION}),
        ("invoice.pdf" + " " * 60 + ".exe", {Sign.DOUBLE_EXTENSION}),
        ("invoice.pdf.exe.", {Sign.DOUBLE_EXTENSION}),
        ("mail.eml.js", {Sign.DOUBLE_EXTENSION}),
        ("ann\u202excod.exe", {Sign.RTLO}),
        ("a\u2066b.txt", {Sign.RTLO}),
        ("a\u200bb.txt", {Sign.INVISIBLE_CHARACTERS}),
        ("invoice.p\u200bdf.exe", {Sign.INVISIBLE_CHARACTERS, Sign.DOUBLE_EXTENSION}),
        ("a\u3164.txt", {Sign.INVISIBLE_CHARACTERS}),
        ("a\nb.txt", {Sign.INVISIBLE_CHARACTERS}),
        ("a\x00.exe", {Sign.INVISIBLE_CHARACTERS, Sign.PATH_IN_NAME}),
        ("../../etc/passwd", {Sign.PATH_IN_NAME}),
        ("..\\a.txt", {Sign.PATH_IN_NAME}),
        ("/etc/passwd", {Sign.PATH_IN_NAME}),
        ("C:\\a.txt", {Sign.PATH_IN_NAME}),
        ("folder/a.txt", set()),
        ("x" * 4096, {Sign.LONG_NAME}),
        ("ü" * 128, {Sign.LONG_NAME}),
    ],
    ids=lambda value: ascii(value)[1:30] if isinstance(value, str) else "",
)
def test_names(name: str, signs: set[Sign]) -> None:
    assert set(of_name(name)) == signs


@pytest.mark.parametrize(
    ("extension", "declared", "detected", "odd"),
    [
        ("docx", None, DOCX, False),
        ("docx", None, "application/encrypted", False),
        ("docx", None, DOCM, True),
        ("docx", None, ZIP, True),
        ("pdf", None, PROGRAM, True),
        ("pdf", None, "text/html", True),
        ("png", None, "image/jpeg", True),
        ("txt", None, TEXT, False),
        ("txt", None, "application/json", False),
        ("txt", None, "application/javascript", False),
        ("txt", None, ZIP, True),
        ("csv", None, DOCX, True),
        ("xls", None, "text/html", False),
        ("exe", None, PROGRAM, False),
        ("dat", None, PROGRAM, True),
        ("dat", None, OCTETS, False),
        ("", None, PROGRAM, False),
        ("zip", None, "application/java-archive", False),
        ("pdf", None, EMPTY, False),
        ("pdf", "application/pdf", PDF, False),
        ("pdf", "application/octet-stream", PDF, False),
        ("pdf", "Application/PDF; charset=binary", PDF, False),
        ("", "image/png", PROGRAM, True),
        ("", "image/png", "image/jpeg", False),
        ("", "text/plain", ZIP, True),
        ("", "text/csv", TEXT, False),
        ("", "application/pdf", ZIP, True),
        ("", "application/json", "application/json", False),
        ("", "application/vnd.example.own", OCTETS, False),
        ("", "application/vnd.example.own", PROGRAM, True),
        ("", "application/zip", DOCX, False),
        ("docx", "application/zip", DOCX, False),
        ("docx", "application/msword", DOCX, False),
        ("docx", "application/msword", PROGRAM, True),
    ],
)
def test_types(extension: str, declared: str | None, detected: str, odd: bool) -> None:
    assert list(of_types(extension, declared, detected)) == ([Sign.TYPE_MISMATCH] if odd else [])


@pytest.mark.parametrize(("kind", "runs"), [(PROGRAM, True), ("application/x-powershell", True), (DOCX, False)])
def test_what_runs_when_it_is_opened(kind: str, runs: bool) -> None:
    assert executable(kind) is runs


def test_every_sign_is_explained() -> None:
    assert set(MEANING) == set(Sign)


@given(st.text(max_size=40), st.text(max_size=8), st.none() | st.text(max_size=20), st.text(max_size=20))
def test_anything_has_signs_or_none(name: str, extension: str, declared: str | None, detected: str) -> None:
    assert {*of_name(name), *of_types(extension, declared, detected)} <= set(Sign)
