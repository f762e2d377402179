"""Files of kinds for which there is no writer at hand: compound files with storages, cabinets, RAR, objects."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

type Tree = Mapping[str, "bytes | Tree"]

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def compound(tree: Tree) -> bytes:
    """A compound file (MS-CFB version 3). Streams are padded to 4096 bytes: no mini stream is needed."""
    entries: list[list[int | str]] = [["Root Entry", 5, _FREE, _FREE, _END, 0]]  # name, type, right, child, start, size
    bodies: list[tuple[int, bytes]] = []

    def add(parent: int, children: Tree) -> None:
        before = None
        for name, content in children.items():
            at = len(entries)
            kind = 2 if isinstance(content, bytes) else 1
            entries.append([name, kind, _FREE, _FREE, 0 if kind == 1 else _END, 0])
            if before is None:
                entries[parent][3] = at
            else:
                entries[before][2] = at
            before = at
            if isinstance(content, bytes):
                bodies.append((at, content.ljust(max(4096, -(-len(content) // 512) * 512), b"\x00")))
            else:
                add(at, content)

    add(0, tree)
    directory_sectors = -(-len(entries) // 4)
    sectors = directory_sectors + sum(len(body) // 512 for _, body in bodies)
    fat_sectors = 1
    while fat_sectors * 128 < sectors + fat_sectors:
        fat_sectors += 1
    fat = [_FAT] * fat_sectors
    fat += [*range(fat_sectors + 1, fat_sectors + directory_sectors), _END]
    for at, body in bodies:
        entries[at][4], entries[at][5] = len(fat), len(body)
        fat += [*range(len(fat) + 1, len(fat) + len(body) // 512), _END]
    fat += [_FREE] * (fat_sectors * 128 - len(fat))
    directory = b""
    for name, kind, right, child, start, size in entries:
        raw = (str(name) + "\0").encode("utf-16-le")
        directory += struct.pack("<64sHBBIII16sIQQ", raw, len(raw), kind, 1, _FREE, right, child, b"", 0, 0, 0)
        directory += struct.pack("<IQ", start, size)
    header = struct.pack("<8s16s5H6x", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, fat_sectors, fat_sectors, 0, 4096, _END, 0, _END, 0)
    header += struct.pack("<109I", *range(fat_sectors), *[_FREE] * (109 - fat_sectors))
    table = struct.pack(f"<{len(fat)}I", *fat)
    return header + table + directory.ljust(directory_sectors * 512, b"\0") + b"".join(body for _, body in bodies)


def native(name: str, body: bytes) -> bytes:
    """`\\x01Ole10Native` of an embedded file (MS-OLEDS 2.3.6, object packager)."""
    label = name.encode() + b"\0"
    inner = b"\x02\x00" + label + b"C:\\" + label + b"\0\0\x03\0" + struct.pack("<I", len(label)) + label
    inner += struct.pack("<I", len(body)) + body
    return struct.pack("<I", len(inner)) + inner


def message(subject: str, body: str, attachments: Mapping[str, bytes]) -> bytes:
    """An Outlook message (MS-OXMSG)."""
    tree: dict[str, bytes | Tree] = {
        "__properties_version1.0": bytes(32),
        "__substg1.0_0037001F": subject.encode("utf-16-le"),
        "__substg1.0_1000001F": body.encode("utf-16-le"),
    }
    for number, (name, content) in enumerate(attachments.items()):
        tree[f"__attach_version1.0_#{number:08X}"] = {
            "__substg1.0_3707001F": name.encode("utf-16-le"),
            "__substg1.0_37010102": content,
        }
    return compound(tree)


def cabinet(name: str, body: bytes) -> bytes:
    """A cabinet with one stored file (MS-CAB)."""
    raw = name.encode() + b"\0"
    files_at = 36 + 8
    data_at = files_at + 16 + len(raw)
    size = data_at + 8 + len(body)
    header = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, size, 0, files_at, 0, 3, 1, 1, 1, 0, 1, 0)
    folder = struct.pack("<IHH", data_at, 1, 0)
    entry = struct.pack("<IIHHHH", len(body), 0, 0, 0x5A21, 0, 0x20) + raw
    return header + folder + entry + struct.pack("<IHH", 0, len(body), len(body)) + body


def rar(name: str, body: bytes) -> bytes:
    """A RAR 4 archive with one stored file."""

    def block(kind: int, flags: int, rest: bytes, extra: int = 0) -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head

    raw = name.encode()
    fields = struct.pack("<IIBIIBBHI", len(body), len(body), 2, zlib.crc32(body), 0x5A214000, 20, 0x30, len(raw), 0x20)
    return (
        b"Rar!\x1a\x07\x00"
        + block(0x73, 0, bytes(6))
        + block(0x74, 0x8000, fields + raw)
        + body
        + block(0x7B, 0x4000, b"")
    )
