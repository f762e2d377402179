"""Names below which registries hand out names: no app owns `co.uk` or everything below it.

Only the ICANN part of the public suffix list counts here. Its private part (`github.io`, `azurewebsites.net`) names
what hosting companies hand out, and such a company's app rightly owns that wildcard.
"""

from __future__ import annotations

import functools
from pathlib import Path

import publicsuffix2  # type: ignore[import-untyped]  # ships no types

from casb.hostname import is_address

_PRIVATE = "===BEGIN PRIVATE DOMAINS==="


type _Rules = tuple[frozenset[str], frozenset[str], frozenset[str]]
"""Plain names, bases of `*.` rules, and exceptions (`!city.kawasaki.jp`), as A-labels."""


@functools.lru_cache(maxsize=1)
def _rules() -> tuple[_Rules, _Rules]:
    """The registries' rules and the hosting companies'."""
    text = Path(publicsuffix2.PSL_FILE).read_text(encoding="utf-8")
    icann, _, private = text.partition(_PRIVATE)
    return _read(icann), _read(private)


def _read(text: str) -> _Rules:
    plain, starred, except_ = set(), set(), set()
    for line in text.splitlines():
        rule = line.strip()
        if not rule or rule.startswith("//"):
            continue
        rule = rule if rule.isascii() else rule.encode("idna").decode("ascii")
        if rule.startswith("!"):
            except_.add(rule[1:])
        elif rule.startswith("*."):
            starred.add(rule[2:])
        else:
            plain.add(rule)
    return frozenset(plain), frozenset(starred), frozenset(except_)


def _matches(host: str, rules: _Rules) -> bool:
    plain, starred, except_ = rules
    return host in plain or (host.partition(".")[2] in starred and host not in except_)


def is_hosting_suffix(host: str) -> bool:
    """Whether a hosting company hands out names below `host` to its customers: `github.io`, `s3.amazonaws.com`."""
    return _matches(host, _rules()[1])


def registered_domain(host: str) -> str | None:
    """The name that was registered, which is the one below the public suffix; None for an address or a suffix.

    >>> registered_domain("www.example.co.uk")
    'example.co.uk'
    """
    if is_address(host) or is_public_suffix(host):
        return None
    exceptions = _rules()[0][2]
    while host not in exceptions and not is_public_suffix(parent := host.partition(".")[2]):
        host = parent
    return host


def is_public_suffix(host: str) -> bool:
    """Whether `host` (one form, no wildcard) is a registry's: `com`, `co.uk`. A top-level name always is.

    >>> is_public_suffix("co.uk"), is_public_suffix("example.co.uk")
    (True, False)
    """
    if is_address(host):
        return False
    if "." not in host:
        return True
    return _matches(host, _rules()[0])
