"""Host names as people, browsers and certificates write them, brought to one form.

The form: lower case, A-labels (RFC 5890), no trailing dot; IPv6 literals compressed and without brackets (RFC 5952).
Knows nothing of apps, suffixes or ports.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

import idna

MAX_LENGTH = 253  # RFC 1035 section 2.3.4, without the trailing dot

# Underscores are no host name characters in RFC 952, but such names are in DNS and in use.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_PLAIN = re.compile(r"[a-z0-9_.-]{1,253}\Z")

# Second levels below which registries of country domains hand out names, as in `co.uk`.
_REGISTRY_LABELS = frozenset("ac co com edu gob gov go gouv ltd me mil ne net nom or org plc sch".split())


def normal_host(host: str) -> str | None:
    """`host` in its one form, or None when it is neither a host name nor an IP literal. Never with a port."""
    if host.startswith("[") and host.endswith("]"):
        return _address(host[1:-1], version=6)
    if ":" in host:
        return _address(host, version=6)
    name = host.lower()
    if name.endswith("."):
        name = name[:-1]
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    if not _PLAIN.match(name):
        return None
    labels = name.split(".")
    if not all(_LABEL.match(label) for label in labels):
        return None
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        return _address(name, version=4)  # The URL standard reads a numeric last label as IPv4, whatever stands before.
    return name


def is_address(host: str) -> bool:
    """True for an IP literal in its one form."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def domain_pattern(text: str) -> str:
    """An app's domain as written, in its one form: a host name, an IP literal, or `*.` and a host name.

    Raises `ValueError` with a sentence when it is none of them, or a wildcard so wide that it covers a whole top-level
    or registry domain (`*.com`, `*.co.uk`).
    """
    wildcard = text.startswith("*.")
    host = normal_host(text[2:] if wildcard else text)
    if host is None:
        raise ValueError(_why_not(text))
    if not wildcard:
        return host
    if is_address(host):
        raise ValueError(f"{text!r} is a wildcard over an IP address")
    if _is_registry(host.split(".")):
        raise ValueError(f"{text!r} covers a whole top-level domain")
    return f"*.{host}"


def authority_pattern(text: str) -> tuple[str, str]:
    """`app.example`, `*.app.example`, `[2001:db8::1]`, each with `:port` or without, as `domain_pattern` and port.

    The port is "" for the default ones (80, 443). Raises `ValueError` with a sentence.
    """
    host, colon, digits = text.rpartition(":")
    bare_address = text.count(":") > 1 and not text.startswith("[")
    if not colon or bare_address or digits.endswith("]") or "://" in text:
        return domain_pattern(text), ""
    if not (digits.isascii() and digits.isdigit()) or not 0 < int(digits[:6]) < 65536:
        raise ValueError(f"{text!r} does not end in a port between 1 and 65535")
    port = str(int(digits))
    return domain_pattern(host), "" if port in ("80", "443") else port


def _is_registry(labels: list[str]) -> bool:
    if len(labels) == 1:
        return True
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRY_LABELS


def _why_not(text: str) -> str:
    if "://" in text:
        return f"{text!r} is an address, not a host name"
    if "*" in text.removeprefix("*."):
        return f"{text!r} has a wildcard elsewhere than as its whole first label"
    if "/" in text:
        return f"{text!r} has a path"
    return f"{text!r} is not a host name"


def _address(text: str, *, version: int) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if address.version != version or "%" in text:
        return None
    return str(address)
