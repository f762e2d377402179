"""PDF encryption that every reader opens: AES-256, revision 6 (ISO 32000-2 7.6). XMP stays readable, so labels do.

Runs in a worker with limits, since it reads hostile files with a native library.
"""

from __future__ import annotations

import io

import pikepdf

from casb.errors import ContentError


def encrypt_pdf(pdf: pikepdf.Pdf, password: str) -> bytes:
    """An open PDF as bytes that open with the password. Raises `ContentError` F011 when they do not."""
    target = io.BytesIO()
    try:
        # The same password for the owner: permission bits are advisory, and would only pretend to be rights.
        pdf.save(target, encryption=pikepdf.Encryption(user=password, owner=password, R=6, metadata=False))
        sealed = target.getvalue()
        with pikepdf.open(io.BytesIO(sealed), password=password) as again:
            same = len(again.pages) == len(pdf.pages) and again.is_encrypted
    except (pikepdf.PdfError, ValueError, RuntimeError) as error:
        raise ContentError("F011", "the encrypted file does not open again") from error
    if not same:
        raise ContentError("F011", "the encrypted file does not open again")
    return sealed
