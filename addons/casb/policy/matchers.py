"""What the values of a condition are compared with: values as written become one test, a fact to bool.

Knows the kinds of values (words, patterns, addresses, numbers, sizes, file types) and how each is spelled wrongly.
Raises `Malformed` with an error's number, sentence and hint; the place is added by `conditions.py`.
"""

from __future__ import annotations

import fnmatch
import functools
import ipaddress
import re
from collections.abc import Callable, Sequence

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from casb.policy.filetypes import GROUPS, group_of
from casb.policy.vocabulary import plain_name

type Test = Callable[[str], bool]

UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_SIZE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([A-Za-z]*)")
MAX_REGEX = 1000


class Malformed(Exception):
    """A value cannot be used; `number` is the error code without its letter."""

    def __init__(self, number: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.number, self.message, self.hint = number, message, hint


def glob(patterns: Sequence[str]) -> Test:
    """Whether a plain name fits one of the patterns, where `*` and `?` are wildcards and nothing else is special."""
    exact: set[str] = set()
    tests: list[Test] = []
    for pattern in (plain_name(each) for each in patterns):
        head, body = pattern[:1], pattern[1:]
        if "*" not in pattern and "?" not in pattern:
            exact.add(pattern)
        elif pattern.endswith("*") and not _wild(pattern[:-1]):
            tests.append(functools.partial(_starts, (pattern[:-1],)))
        elif head == "*" and pattern.endswith("*") and not _wild(pattern[1:-1]):
            tests.append(functools.partial(_has, pattern[1:-1]))
        elif head == "*" and not _wild(body):
            tests.append(functools.partial(_ends, (body,)))
        else:
            # fnmatch makes atomic groups of what is between the stars: no backtracking across them.
            literal = pattern.replace("[", "[[]")
            matches = re.compile(fnmatch.translate(literal)).match
            tests.append(functools.partial(_matches, matches))
    if not tests:
        return frozenset(exact).__contains__
    if not exact and len(tests) == 1:
        return tests[0]
    known, others = frozenset(exact), tuple(tests)
    return lambda text: text in known or any(test(text) for test in others)


def _wild(text: str) -> bool:
    return "*" in text or "?" in text


def _starts(beginnings: tuple[str, ...], text: str) -> bool:
    return text.startswith(beginnings)


def _ends(endings: tuple[str, ...], text: str) -> bool:
    return text.endswith(endings)


def _has(part: str, text: str) -> bool:
    return part in text


def _matches(match: Callable[[str], object], text: str) -> bool:
    return match(text) is not None


def starts_with(values: Sequence[str]) -> Test:
    """Whether a plain name begins with one of the values."""
    return functools.partial(_starts, tuple(plain_name(value) for value in values))


def ends_with(values: Sequence[str]) -> Test:
    """Whether a plain name ends with one of the values."""
    return functools.partial(_ends, tuple(plain_name(value) for value in values))


_WORD_ENDS = re.compile(r"[.,_\s-]+")


def contains_words(values: Sequence[str]) -> Test:
    """Whether one of the words stands in a plain name, whole: between `.` `,` `_` `-`, spaces and the ends.

    A value of several words asks for any of them; in double quotes it is a phrase, asked for as it stands. This is the
    reference product's `contains` (Microsoft Defender for Cloud Apps, file filters).
    """
    words: set[str] = set()
    phrases: list[str] = []
    for value in (plain_name(each) for each in values):
        if len(value) > 2 and value[0] == value[-1] == '"':
            phrases.append(value[1:-1])
        else:
            words |= {word for word in _WORD_ENDS.split(value) if word}
    if not words and not any(phrases):
        raise Malformed("017", "'contains_words' has no word in it", "write a word")
    whole = [re.compile(rf"(?:^|[.,_\s-]){re.escape(phrase)}(?:$|[.,_\s-])").search for phrase in phrases]
    known = frozenset(words)

    def test(text: str) -> bool:
        return not known.isdisjoint(_WORD_ENDS.split(text)) or any(found(text) is not None for found in whole)

    return test


def contains(values: Sequence[str]) -> Test:
    """Whether a plain name has one of the values in it."""
    parts = tuple(plain_name(value) for value in values)
    if len(parts) == 1:
        part = parts[0]
        return lambda text: part in text
    return lambda text: any(part in text for part in parts)


def regex(values: Sequence[str]) -> Test:
    """Whether one of the expressions is found in a text, in any case and in linear time (RE2 syntax)."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 1 << 20
    searches = []
    for value in values:
        if len(value) > MAX_REGEX:
            raise Malformed("034", f"the regular expression has more than {MAX_REGEX} characters")
        try:
            searches.append(re2.compile(value, options).search)
        except re2.error as error:
            detail = error.args[0] if error.args else "it cannot be compiled"
            text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
            raise Malformed(
                "034",
                f"'{value}' is not a regular expression: {text}",
                "RE2 knows neither look-around nor back-references, so that no expression can be slow",
            ) from None
    found = tuple(searches)
    return lambda text: any(search(text) is not None for search in found)


def media(values: Sequence[str]) -> Test:
    """Whether a media type is in one of the groups, is one of the types, or fits one with `*`."""
    groups = frozenset(value for value in values if "/" not in value)
    types = [value for value in values if "/" in value]
    if not types:
        return lambda text: group_of(text) in groups
    fits = glob(types)
    if not groups:
        return fits
    return lambda text: fits(text) or group_of(text) in groups


def check_media(value: str) -> None:
    """Refuse what is neither a group nor a media type."""
    if "/" not in value and value not in (*GROUPS, "other"):
        from_groups = ", ".join((*GROUPS, "other"))
        raise Malformed("014", f"unknown file type '{value}'", f"known: {from_groups}, or a media type with '/'")


# --- addresses

type Range = tuple[int, int, int]
"""Version, first and last address of a network as numbers."""


@functools.lru_cache(maxsize=8192)
def address(text: str) -> tuple[int, int] | None:
    """An address as version and number; IPv4 inside IPv6 (`::ffff:192.0.2.1`) is IPv4. None when it is none."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)


def network(value: str) -> Range:
    """A single address or a CIDR range."""
    try:
        parsed = ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        try:
            loose = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise Malformed("032", f"'{value}' is not an address or range", "write 192.0.2.7 or 192.0.2.0/24") from None
        raise Malformed("032", f"'{value}' has bits set behind its prefix", f"did you mean '{loose}'?") from error
    first, last = parsed.network_address, parsed.broadcast_address
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped and parsed.prefixlen >= 96:
        mapped = int(first.ipv4_mapped)
        return 4, mapped, mapped + int(last) - int(first)
    return parsed.version, int(first), int(last)


def addresses(values: Sequence[str]) -> Test:
    """Whether an address lies in one of the ranges."""
    ranges = tuple(network(value) for value in values)

    def test(text: str) -> bool:
        found = address(text)
        if found is None:
            return False
        version, number = found
        return any(version == kind and first <= number <= last for kind, first, last in ranges)

    return test


# --- numbers


def size(value: object) -> int:
    """`10MB` as bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    unit = found[3].upper().replace("IB", "B") if found else ""
    if not found or unit not in UNITS:
        shown = value if isinstance(value, str | int | float) else type(value).__name__
        raise Malformed("033", f"'{shown}' is not a file size", "write 500KB, 10MB or 1.5GB")
    whole, fraction = found[1], found[2] or ""
    return int(whole + fraction) * UNITS[unit] // int("1" + "0" * len(fraction))


def number(value: object) -> float:
    """A number as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Malformed("016", f"a number is expected, not {value!r}", "write a plain number without quotes")
