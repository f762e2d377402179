"""`store` of casb.yaml."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from casb.config.notes import Notes
from casb.config.shape import StoreShape
from casb.settings import Secret, SessionStoreSettings

_WORD = re.compile(r"(\w+)\s*=\s*'?([^\s']*)'?")
_PREFIX = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def read_store(shape: StoreShape | None, notes: Notes) -> SessionStoreSettings:
    """Where sessions are kept."""
    if shape is None:
        return SessionStoreSettings()
    address: Secret | None = None
    if shape.sessions is not None:
        address = _address(shape.sessions, notes)
    elif shape.password is not None or shape.ca is not None:
        path = ("store", "password" if shape.password is not None else "ca")
        notes.wrong("C125", "'store' names no server", path, "add `sessions: rediss://…`")
    if _PREFIX.fullmatch(shape.prefix) is None:
        hint = "use lower-case letters, digits and hyphens"
        notes.wrong("C111", f"{shape.prefix!r} is not a prefix", ("store", "prefix"), hint)
    if shape.configuration is not None and shape.sessions is None:
        hint = "add `sessions: rediss://…`: the configuration travels through that server"
        notes.wrong("C125", "'store' names no server", ("store", "configuration"), hint)
    return SessionStoreSettings(
        records=_records(shape.records, notes),
        configuration=shape.configuration,
        sessions=address,
        password=notes.secret(shape.password, ("store", "password")),
        ca=notes.file(shape.ca, ("store", "ca")),
        keys=shape.keys and notes.path(shape.keys),
        prefix=shape.prefix,
    )


def _records(text: str | None, notes: Notes) -> Secret | None:
    """A connection string; to other machines only with TLS that verifies whom it talks to."""
    path = ("store", "records")
    found = notes.secret(text, path)
    if not found or not found.reveal():  # absent, or empty because nobody may be asked here
        return found
    given = found.reveal()
    if given.startswith(("postgresql://", "postgres://")):
        try:
            parts = urlsplit(given)
            hosts, modes = [parts.hostname or ""], parse_qs(parts.query).get("sslmode", [])
        except ValueError:
            hosts, modes = [], []
    else:
        words = dict(_WORD.findall(given))
        hosts, modes = words.get("host", "").split(","), [words["sslmode"]] if "sslmode" in words else []
    if not all(not host or host.startswith("/") or _on_loopback(host) for host in hosts) or not hosts:
        if modes != ["verify-full"]:
            hint = "add sslmode=verify-full and sslrootcert=…"
            notes.wrong("C116", "the records would travel to a server that nobody verified", path, hint)
    return found


def _address(text: str, notes: Notes) -> Secret | None:
    path = ("store", "sessions")
    if text.startswith(("env:", "file:")):
        found = notes.secret(text, path)
        if not found:  # absent, or empty because nobody may be asked here
            return found
        text = found.reveal()
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        password = parts.password
    except ValueError:
        good, password, parts = False, None, urlsplit("")
    if not good:
        # The text itself is not repeated: it may hold a password.
        hint = "such as rediss://casb@redis.internal:6380/0"
        notes.wrong("C116", "this is not the address of a Redis server", path, hint)
    elif password and text == notes.marks.data(path):
        hint = "write env:NAME or file:PATH, or put the password under `password`, and change it if it was real"
        notes.wrong("C103", "'sessions' holds a secret itself", path, hint)
    elif parts.scheme == "redis" and not _on_loopback(parts.hostname or ""):
        notes.wrong(
            "C116", "the sessions would travel unencrypted", path, "use rediss; redis is for loopback addresses"
        )
    return Secret(text)


def _on_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
