"""How one origin authority is spelt under the suffix, and read back. Both ways exact: what `spell` would not have
written, `read` does not know.

    dotted      app.example               app.example
                app.example:8444          app.example--p8444
    flat        app.example               app-example--x          one label: a wildcard certificate covers it
                my-app.example:8444       my--app-example--x8444
                xn--bcher-kva.example     xxn----bcher--kva-example--xx
    both        [2001:db8::1]             2001-db8-0-0-0-0-0-1--v6
                [2001:db8::1]:8444        2001-db8-0-0-0-0-0-1--v6--p8444

Flat: a dot becomes one hyphen, a hyphen two; no label of a host name begins or ends with a hyphen, so runs of hyphens
can be told apart. A label that would begin with `xn--` gets an `x` in front, for browsers check what follows as
Punycode (RFC 3492); the second `x` of the end says so. A name whose flat label would be longer than 63 octets
(RFC 1035) keeps the dotted form: it stays in the session, and needs a certificate of its own.

Knows no suffix and no list of names.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

LONGEST_LABEL = 63
LONGEST_NAME = 253
_PORTED = re.compile(r"(?P<host>.+)--p(?P<port>[1-9][0-9]{0,4})\Z")
_FLAT = re.compile(r"(?P<mark>x?)(?P<body>[a-z0-9_-]+)--x(?P<marked>x?)(?P<port>(?:[1-9][0-9]{0,4})?)\Z")
_GROUPS = re.compile(r"[0-9a-f]{1,4}(?:-[0-9a-f]{1,4}){7}--v6\Z")
_ENDS = re.compile(r"--(?:p[1-9][0-9]{0,4}|v6|xx?(?:[1-9][0-9]{0,4})?)\Z")
_HYPHENS = re.compile(r"-+")


def reserved(host: str) -> bool:
    """Does a host name end like one of our spellings? Such a name cannot be told from another one's."""
    return _ENDS.search(host) is not None


def fits(host: str, port: str, suffix: str, *, flat: bool = False) -> bool:
    """Is the whole suffix form still a host name (RFC 1035 section 2.3.4)?"""
    name = spell(host, port, flat=flat)
    return len(name) + 1 + len(suffix) <= LONGEST_NAME and all(len(each) <= LONGEST_LABEL for each in name.split("."))


def spell(host: str, port: str, *, flat: bool = False) -> str:
    """A canonical host (IPv6 in brackets) and its port ("" for the default one) without the suffix."""
    if host.startswith("["):
        packed = IPv6Address(host[1:-1]).packed
        base = "-".join(f"{int.from_bytes(packed[at : at + 2]):x}" for at in range(0, 16, 2)) + "--v6"
        return f"{base}--p{port}" if port else base
    if flat:
        body = host.replace("-", "--").replace(".", "-")
        mark = "x" if body.startswith("xn--") else ""
        label = f"{mark}{body}--x{mark}{port}"
        if len(label) <= LONGEST_LABEL:
            return label
    return f"{host}--p{port}" if port else host


def read(name: str, *, flat: bool = False) -> tuple[str, str] | None:
    """The reverse of `spell`: host and port, or None when it is no spelling of anything."""
    host, port = name, ""
    if ported := _PORTED.match(name):
        host, port = ported["host"], ported["port"]
    if _GROUPS.match(host):
        host = f"[{IPv6Address(host[:-4].replace('-', ':'))}]"
    elif flat and (found := _FLAT.match(name)):
        # The mark is the first letter of the body unless the end says that it is one.
        body = found["body"] if found["marked"] else found["mark"] + found["body"]
        host, port = _HYPHENS.sub(_undo, body), found["port"]
    try:
        return (host, port) if spell(host, port, flat=flat) == name else None
    except ValueError:
        return None


def _undo(run: re.Match[str]) -> str:
    return "." if len(run[0]) == 1 else "-" * (len(run[0]) // 2)
