"""What can be odd about a file: the words that policies and records use for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Sign(StrEnum):
    """One oddity of a file's name, type or structure. None of them is a verdict: a policy says what follows."""

    TYPE_MISMATCH = "type_mismatch"
    DOUBLE_EXTENSION = "double_extension"
    RTLO = "rtlo"
    INVISIBLE_CHARACTERS = "invisible_characters"
    PATH_IN_NAME = "path_in_name"
    LONG_NAME = "long_name"
    MACRO = "macro"
    ACTIVE_CONTENT = "active_content"
    EXTERNAL_LINK = "external_link"
    REMOTE_TEMPLATE = "remote_template"
    EMBEDDED_FILE = "embedded_file"
    EMBEDDED_EXECUTABLE = "embedded_executable"
    ENCRYPTED = "encrypted"
    NESTED_ARCHIVE = "nested_archive"
    POLYGLOT = "polyglot"
    SELF_EXTRACTING = "self_extracting"


MEANING: Mapping[Sign, str] = {
    Sign.TYPE_MISMATCH: "name or declared type say another kind of file than the content",
    Sign.DOUBLE_EXTENSION: "the name hides what it is: `invoice.pdf.exe`, `invoice.pdf        .exe`",
    Sign.RTLO: "the name has characters that change the direction of writing, so that it is shown reversed",
    Sign.INVISIBLE_CHARACTERS: "the name has control characters or characters that are not shown",
    Sign.PATH_IN_NAME: "the name, or that of a member of an archive, leads out of its folder",
    Sign.LONG_NAME: "the name has more than 255 bytes",
    Sign.MACRO: "an office document with macros",
    Sign.ACTIVE_CONTENT: "acts when it is opened: script, launch and submit actions in PDF, HTML that assembles a "
    "file, dynamic data exchange",
    Sign.EXTERNAL_LINK: "an office document that loads something from elsewhere",
    Sign.REMOTE_TEMPLATE: "an office document whose template lies elsewhere",
    Sign.EMBEDDED_FILE: "another file lies inside a document",
    Sign.EMBEDDED_EXECUTABLE: "a program lies inside a document, mail or archive",
    Sign.ENCRYPTED: "the file, or a file in it, needs a password",
    Sign.NESTED_ARCHIVE: "an archive in an archive",
    Sign.POLYGLOT: "is two kinds of file at once, or has something in front of or behind it",
    Sign.SELF_EXTRACTING: "a program that carries an archive",
}
"""One line for each."""
