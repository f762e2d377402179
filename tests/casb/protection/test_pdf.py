"""PDF under a password: every reader asks for it, and XMP stays readable."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pikepdf
import pytest

from casb.inspection.labelling import LabelOrder, label_pdf, open_pdf
from casb.protection.pdf import encrypt_pdf

PASSWORD = "k7qfd-2mnpq"
LABEL = LabelOrder(
    id="2096f6a2-d2f7-48be-b329-b73aaa526e5d", name="Confidential", tenant="c" * 36, time="2026-01-01T00:00:00Z"
)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    document = pikepdf.new()
    document.add_blank_page()
    target = io.BytesIO()
    document.save(target)
    with open_pdf(label_pdf(target.getvalue(), LABEL).data) as pdf:
        (tmp_path / "out.pdf").write_bytes(encrypt_pdf(pdf, PASSWORD))
    return tmp_path / "out.pdf"


def test_readers_ask_for_the_password(sealed: Path) -> None:
    assert subprocess.run(["qpdf", "--check", sealed], capture_output=True, check=False).returncode == 2
    assert subprocess.run(["pdfinfo", "-upw", "wrong", sealed], capture_output=True, check=False).returncode == 1
    shown = subprocess.run(["pdfinfo", "-custom", "-upw", PASSWORD, sealed], capture_output=True, check=True).stdout
    assert b"MSIP_Label_" in shown
    subprocess.run(["qpdf", "--check", f"--password={PASSWORD}", sealed], capture_output=True, check=True)


def test_the_label_is_readable_without_the_password(sealed: Path) -> None:
    assert f"MSIP_Label_{LABEL.id}_Name".encode() in sealed.read_bytes()
