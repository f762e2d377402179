"""Media types in the groups that people think in: document, spreadsheet, presentation and so on.

The groups are those of the file-type filter of session policies, with archives and executables told apart.
"""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, tuple[str, ...]] = {
    "document": (
        "application/pdf",
        "application/msword",
        "application/rtf",
        "text/rtf",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.",
        "application/vnd.ms-word.",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.apple.pages",
        "application/epub+zip",
        "application/vnd.visio",
        "application/vnd.ms-visio.",
        "application/vnd.ms-outlook",
        "application/vnd.google-apps.document",
        "application/encrypted",  # an Office file with a password, whose kind cannot be told
        "application/vnd.ms-xpsdocument",
    ),
    "spreadsheet": (
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.apple.numbers",
        "application/vnd.google-apps.spreadsheet",
        "text/csv",
        "text/tab-separated-values",
    ),
    "presentation": (
        "application/vnd.ms-powerpoint",
        "application/vnd.openxmlformats-officedocument.presentationml.",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.apple.keynote",
        "application/vnd.google-apps.presentation",
    ),
    "archive": (
        "application/zip",
        "application/gzip",
        "application/x-gzip",
        "application/x-tar",
        "application/x-7z-compressed",
        "application/vnd.rar",
        "application/x-rar",
        "application/x-bzip2",
        "application/x-xz",
        "application/zstd",
        "application/x-iso9660-image",
        "application/vnd.ms-cab-compressed",
    ),
    "executable": (
        "application/vnd.microsoft.portable-executable",
        "application/x-msdownload",
        "application/x-msdos-program",
        "application/java-archive",
        "application/java-vm",
        "application/vnd.android.dex",
        "application/wasm",
        "application/x-dosexec",
        "application/x-executable",
        "application/x-elf",
        "application/x-sharedlib",
        "application/x-pie-executable",
        "application/x-mach-binary",
        "application/x-msi",
        "application/x-ms-installer",
        "application/x-ms-shortcut",
        "application/x-sh",
        "application/x-shellscript",
        "application/x-bat",
        "application/x-powershell",
        "text/x-shellscript",
        "application/vnd.android.package-archive",
        "application/vnd.debian.binary-package",
        "application/x-rpm",
        "application/x-apple-diskimage",
    ),
    "image": ("image/", "application/vnd.oasis.opendocument.graphics"),
    "text": (
        "text/",
        "application/json",
        "application/xml",
        "application/yaml",
        "application/javascript",
        "application/sql",
        "message/rfc822",
    ),
}
"""A group and the beginnings of the media types in it; the first group that fits is the one."""

NAMES = (*GROUPS, "other")

_BEGINNINGS = tuple((beginning, group) for group, beginnings in GROUPS.items() for beginning in beginnings)


def group_of(media_type: str) -> str:
    """The group of a media type (lower case, without parameters): `application/pdf` is a `document`."""
    for beginning, group in _BEGINNINGS:
        if media_type.startswith(beginning):
            return group
    return "other"
