"""Real files for the demo: workbook, document, PDF, text, something large. Every name and number is invented."""

from __future__ import annotations

import hashlib
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pikepdf

BINARY_SIZE = 20 * 1024 * 1024
PAYROLL_MARK = "Grace Goldmann"
"""A name in every copy of the payroll: what must never reach an unmanaged browser."""

PEOPLE = ("Ada Abel", "Ben Brandt", "Cleo Costa", "Dan Dorn", "Eva Eriksen", "Finn Falk", PAYROLL_MARK, "Hugo Hart")


def payroll(path: Path) -> None:
    """A workbook with salaries, account numbers and card numbers (valid by their check digits, issued to nobody)."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Payroll 2026-10"
    sheet.append(["Employee", "Department", "IBAN", "Corporate card", "Gross", "Net"])
    chance = random.Random(20261031)  # noqa: S311  # Repeatable sample data, no secret.
    for number, person in enumerate(PEOPLE * 30):
        gross = 3800 + chance.randrange(40) * 100
        account = f"{chance.randrange(10**18):018d}"
        card = _luhn(f"4000{chance.randrange(10**11):011d}")
        sheet.append([person, f"D{number % 7}", _iban("DE", account), card, gross, round(gross * 0.62, 2)])
    book.save(path)


def _iban(country: str, account: str) -> str:
    digits = int("".join(str(int(character, 36)) for character in account + country + "00"))
    return f"{country}{98 - digits % 97:02d}{account}"


def _luhn(number: str) -> str:
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return number + str(-total % 10)


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
MAIN_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
RELATIONS_TYPE = "application/vnd.openxmlformats-package.relationships+xml"


def report(path: Path) -> None:
    """A word-processor document: the smallest package that word processors open."""
    lines = [
        "Quarterly report",
        "Confidential: not for publication before 15 November.",
        "Revenue grew by 4.1 percent.",
    ]
    body = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in lines * 20)
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    parts = {
        "[Content_Types].xml": f'{head}<Types xmlns="{PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="{RELATIONS_TYPE}"/>'
        f'<Override PartName="/word/document.xml" ContentType="{MAIN_TYPE}"/></Types>',
        "_rels/.rels": f'{head}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{DOCUMENT}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'{head}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in parts.items():
            package.writestr(name, text)


def handbook(path: Path) -> None:
    """A one-page PDF."""
    text = b"BT /F1 24 Tf 72 760 Td (Employee handbook) Tj /F1 12 Tf 0 -40 Td (Wear a badge. Lock your screen.) Tj ET"
    with pikepdf.new() as document:
        page = document.add_blank_page(page_size=(595, 842))
        font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
        page.obj.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.obj.Contents = document.make_stream(text)
        document.save(path)


def notes(path: Path) -> None:
    """Plain text, nothing in it that anyone would mind."""
    path.write_text("Lunch is at noon.\nThe printer on the second floor works again.\n" * 40)


def binary(path: Path) -> None:
    """Twenty megabytes that do not compress, the same each time."""
    chance = random.Random(7)  # noqa: S311  # Repeatable sample data, no secret.
    path.write_bytes(chance.randbytes(BINARY_SIZE))


FILES: dict[str, Callable[[Path], None]] = {
    "payroll.xlsx": payroll,
    "quarterly-report.docx": report,
    "handbook.pdf": handbook,
    "notes.txt": notes,
    "archive.bin": binary,
}


def make_all(folder: Path) -> dict[str, str]:
    """Makes what is missing; the SHA-256 of each by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILES.items():
        path = folder / name
        if not path.exists():
            part = folder / f".{name}.part"
            make(part)
            part.replace(path)
    return {name: sha256(folder / name) for name in FILES}


def sha256(path: Path) -> str:
    """The digest of a file, hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
