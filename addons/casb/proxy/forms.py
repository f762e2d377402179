"""The files of a form that was sent to ourselves."""

from __future__ import annotations

from casb.catalog.bodies import UploadedFile
from casb.catalog.multipart import read_form


def form_files(content_type: str, body: bytes) -> list[UploadedFile]:
    """The parts of `multipart/form-data` (RFC 7578) that hold a file, in order.

    Raises `ContentError` U002 when the body is no whole form, or one that can be read in two ways.
    """
    form = read_form(content_type.encode("latin-1", "replace"), body)
    return [
        UploadedFile(name=each.filename or "", content_type=each.content_type, content=form.content(each), part=each)
        for each in form.files()
    ]
