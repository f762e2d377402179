"""Gives a host to an app: the admin's file with one more line, written only when the whole folder stays valid."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from casb.config import draft
from casb.config.attach import with_domain
from casb.config.reader import APPS
from casb.errors import ConfigError, Problems, Where
from casb.hostname import domain_pattern
from casb.store.atomic import replace_private
from casb.store.folder import CHECKING, read_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What was written where. `changed` is False when the app had the domain already."""

    domain: str
    app: str
    file: str
    changed: bool


def attach(folder: Path, host: str, app_id: str, note: Callable[[Attached], None]) -> Attached:
    """Add a host, or `*.` and a host, to the domains of an app.

    `note` writes the audit log before the file changes; what it raises leaves the file alone. Raises `ConfigError`
    (C112 no host, C128 no such app or a file that cannot be added to) or `Problems` with what would be wrong then.
    """
    try:
        domain = domain_pattern(host)
    except ValueError as error:
        raise ConfigError("C112", str(error), hint="write app.example.com or *.example.com") from None
    files = read_folder(folder)
    before = draft(files, folder.resolve().as_posix(), CHECKING, label=folder.as_posix())
    if before.errors:
        raise Problems(list(before.errors))
    known = next((app for app in before.apps if app.id == app_id), None)
    if known is None:
        raise ConfigError("C128", f"there is no app '{app_id}'", hint="casb catalog list names them")
    name, text = _file_of(files, folder, app_id, domain)
    done = Attached(domain=domain, app=app_id, file=f"{folder.as_posix()}/{name}", changed=domain not in known.domains)
    if not done.changed:
        return done
    content = text.encode()
    after = draft({**files, name: content}, folder.resolve().as_posix(), CHECKING, label=folder.as_posix())
    if after.errors:
        raise Problems(list(after.errors))
    path = (folder / name).resolve()  # a link stays one
    note(done)
    if path.read_bytes() != files[name]:
        raise ConfigError("C128", "the file has been changed meanwhile", Where(file=done.file), "try again")
    facts = path.stat()
    replace_private(path, content, mode=facts.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(path, facts.st_uid, facts.st_gid)
    return done


def _file_of(files: dict[str, bytes], folder: Path, app_id: str, domain: str) -> tuple[str, str]:
    """The file that has the app, and its text with the domain added."""
    for name, raw in files.items():
        if not name.startswith(APPS):
            continue
        try:
            changed = with_domain(raw.decode("utf-8"), app_id, domain)
        except ValueError as error:
            where = Where(file=f"{folder.as_posix()}/{name}")
            raise ConfigError("C128", str(error), where, f"add {domain} to 'domains' by hand") from None
        if changed is not None:
            return name, changed
    raise ConfigError("C128", f"no file has the app '{app_id}'")
