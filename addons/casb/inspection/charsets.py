"""Which character set a text is in: by its mark, by its bytes, by what is declared, and last by likelihood."""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata

SAMPLE = 16 * 1024

_BOMS: tuple[tuple[bytes, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_DECLARED = re.compile(
    rb"""(?:charset|encoding|coding)\s*[=:]\s*["']?\s*([A-Za-z][A-Za-z0-9_.:-]{1,30})""", re.IGNORECASE
)
# RFC 1468, RFC 1557, RFC 1922: seven bits wide, so that they look like ASCII.
_ESCAPES = re.compile(rb"\x1b(\$[@B]|\([JI]|\$\([D]|\$\)[C]|\$\)[AG])")
_ENOUGH = 24
"""Of fewer bytes nothing is likely."""
_SEVEN_BIT = frozenset({"iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_kr", "hz", "utf-7"})
# What is in use is the larger set of the same family (WHATWG Encoding, section 4.2).
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


@functools.lru_cache(maxsize=4)  # asked for the type, and again by the reader
def of_text(head: bytes, *, whole: bool, declared: str | None = None) -> str | None:
    """The codec of a text by its leading bytes; None when these are no text. `whole`: there is nothing behind them."""
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return codec
    if wide := _wide(head):
        return wide
    if _CONTROLS.search(head):
        return None
    claimed = known(declared) or _claimed(head)
    if claimed in _SEVEN_BIT:
        return claimed
    if found := _ESCAPES.search(head):
        return "iso2022_kr" if found[1] == b"$)C" else "iso2022_jp_2"
    try:
        head.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(head) - 4:
            return "utf-8"
    if claimed and claimed != "utf-8" and _reads(head, claimed):
        return claimed
    return _likely(head)


def known(name: str | None) -> str | None:
    """A codec by a name as people write it; None when there is none for text."""
    if not name:
        return None
    try:
        found = codecs.lookup(name.strip().strip("\"'"))
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True) or found.name in ("idna", "punycode", "unicode_escape", "mbcs"):
        return None
    return _WIDER.get(found.name, found.name)


def _claimed(head: bytes) -> str | None:
    found = _DECLARED.search(head[:2048])
    return known(found[1].decode("ascii")) if found else None


def _reads(head: bytes, codec: str) -> bool:
    text = head[:SAMPLE].decode(codec, "replace")
    return text.count("\N{REPLACEMENT CHARACTER}") * 50 <= len(text)


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark."""
    sample = head[: SAMPLE // 4 * 4]
    if len(sample) < 4 or not _CONTROLS.search(sample):
        return None
    # Latin text read from the wrong end is plausible Chinese: its zeros tell which end it is.
    sixteen = ("utf-16-be", "utf-16-le") if sample[::2].count(0) > sample[1::2].count(0) else ("utf-16-le", "utf-16-be")
    for codec in ("utf-32-le", "utf-32-be", *sixteen):
        step = 4 if "32" in codec else 2
        if len(head) < SAMPLE and len(head) % step:
            continue
        try:
            text = codecs.getincrementaldecoder(codec)().decode(sample)
        except UnicodeDecodeError:
            continue
        if text and _plausible(text):
            return codec
    return None


def _plausible(text: str) -> bool:
    """Whether characters are those of writing: nearly all assigned, and most of a few neighbouring blocks."""
    odd = letters = 0
    blocks: dict[int, int] = {}
    for char in text:
        if char in "\t\r\n ":
            letters += 1
            continue
        category = unicodedata.category(char)
        if category[0] == "C":
            odd += 1
        code = ord(char)
        block = 1 if 0x2E80 <= code < 0xA4D0 or 0xAC00 <= code < 0xD7B0 or 0xFF00 <= code < 0xFFF0 else code >> 8 << 8
        blocks[block] = blocks.get(block, 0) + 1
    most = sum(sorted(blocks.values(), reverse=True)[:3])
    usual = letters + blocks.get(0, 0) + blocks.get(1, 0)
    return odd * 100 <= len(text) and (most + letters) * 10 >= len(text) * 9 and usual * 20 >= len(text)


def _likely(head: bytes) -> str | None:
    """Some legacy character set: mostly letters then, where compressed bytes are spread evenly."""
    from charset_normalizer import from_bytes  # noqa: PLC0415  # only for texts that say nothing

    sample = head[:SAMPLE]
    high = sum(byte >= 0x80 for byte in sample)
    best = from_bytes(sample, steps=3, chunk_size=512, threshold=0.2).best() if high else None
    codec = known(best.encoding) if best is not None and len(sample) >= _ENOUGH else None
    # Code pages of mainframes fit everything, and would turn ASCII into something else.
    if codec is not None and b"aZ09".decode(codec, "replace") == "aZ09" and _written(sample.decode(codec, "replace")):
        return codec
    return "cp1252" if high * 3 <= len(sample) else None


def _written(text: str) -> bool:
    """Whether most characters are letters, digits and spaces of writing."""
    usual = sum(char.isalnum() or char in " \t\r\n.,;:-'\"()" for char in text)
    return usual * 10 >= len(text) * 7 and (len(text) < 200 or any(char.isspace() for char in text))
