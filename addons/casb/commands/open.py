"""Open a file that was handed over protected, on the machine that has the key ring.

casb open report.xlsx.age                          to whom it was handed over, and why
casb open report.xlsx.age --as contoso/4f2c…       the file, if that person may have it
casb open report.xlsx.age --recover -o report.xlsx the file, for the operator; written to the audit log first
casb open report.xlsx --as contoso/4f2c…           the password of an Office file, a PDF, a .zip or a .p7m

People open their files at https://login.<suffix>/.casb/open, without this command. When the key ring is lost, the
recovery key opens every file: age -d -i recovery.key -o report.xlsx report.xlsx.age
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from casb.commands.certs import settings_of
from casb.errors import ContentError
from casb.model.identity import User
from casb.protection import cms, zip_aes
from casb.protection.container import CHUNK, HEADER_LIMIT, MAGIC
from casb.protection.encrypt import HandOver, unwrap_secret
from casb.protection.entitlement import Answer, may_open
from casb.protection.opening import Opener, plain_name, read_facts
from casb.store import auditfile
from casb.store.keyring import Keyring
from casb.store.protected_sqlite import ProtectedFile, ProtectedFiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("file", metavar="FILE", help="the encrypted file")
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--as", dest="user", metavar="USER", help="open as this user id, under the same rule as people but groups"
    )
    how.add_argument("--recover", action="store_true", help="open as the operator; leaves a line in the audit log")
    parser.add_argument("-o", "--out", metavar="OUT", help="where to; - is standard output (default: its own name)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of the facts")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused or damaged, 2 there is no such file or the output is already there."""
    data = Path(settings_of(arguments.config).data)
    keyring = Keyring.load(data)
    try:
        file = open(arguments.file, "rb")
    except OSError as error:
        return _wrong(f"{arguments.file}: {error.strerror}")
    files = ProtectedFiles(data)
    with file:
        if not arguments.file.endswith(".age") and file.read(len(MAGIC)) != MAGIC:
            return _password(arguments, data, keyring, files, file)
        file.seek(0)
        facts = read_facts(file.read(HEADER_LIMIT + CHUNK), keyring.unwrap)
        file.seek(0)
        if not arguments.user and not arguments.recover:
            print(json.dumps(asdict(facts), indent=2) if arguments.format == "json" else _page(facts))
            return 0
        out = arguments.out or plain_name(facts.name)
        if out != "-" and os.path.lexists(out):
            return _wrong(f"{out} is already there; name another with -o")
        decide: Callable[[HandOver], Answer]
        if arguments.recover:
            auditfile.note(data, "recover a protected file", datetime.now(UTC), file=facts.file, user=facts.user)
            decide = _operator
        else:
            decide = partial(_entitled, files, arguments.user)
        with _target(out) as target:
            _copy(file, target, Opener(keyring.unwrap, decide))
    if out != "-":
        print(out, file=sys.stderr)
    return 0


def _copy(source: BinaryIO, target: BinaryIO, opener: Opener) -> None:
    while chunk := source.read(16 * CHUNK):
        target.write(opener.update(chunk))
    target.write(opener.finish())
    target.flush()


def _entitled(files: ProtectedFiles, user: str, facts: HandOver) -> Answer:
    """As at the opening page, but for the policies in force: those are about traffic, which this is not."""
    row = files.get(facts.file)
    person = User(id=user, name=user, groups_known=False)
    return may_open(facts, person, now=datetime.now(UTC), standing=row.standing if row else None)


def _password(
    arguments: argparse.Namespace, data: Path, keyring: Keyring, files: ProtectedFiles, file: BinaryIO
) -> int:
    """The password of a file in a format of its own, found by its id or its digest."""
    found = _known(files, file)
    if found is None:
        raise ContentError("F018", f"nothing is known of {arguments.file}")
    facts = found.facts
    if not arguments.user and not arguments.recover:
        print(json.dumps(asdict(facts), indent=2) if arguments.format == "json" else _page(facts))
        return 0
    if arguments.recover:
        auditfile.note(data, "recover a protected file", datetime.now(UTC), file=facts.file, user=facts.user)
    else:
        answer = _entitled(files, arguments.user, facts)
        if not answer.allowed:
            raise ContentError(answer.error, answer.reason)
    secret = unwrap_secret(facts.file, found.key_id, found.secret, keyring.unwrap)
    if arguments.out and arguments.out != "-":
        if os.path.lexists(arguments.out):
            return _wrong(f"{arguments.out} is already there; name another with -o")
        with _target(arguments.out) as target:
            target.write(secret.encode("ascii") + b"\n")
        return 0
    print(secret)
    return 0


def _known(files: ProtectedFiles, file: BinaryIO) -> ProtectedFile | None:
    file.seek(0)
    head = file.read(64 * 1024)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1024))
    identifier = cms.file_id(head) or zip_aes.file_id(file.read())
    if identifier and (found := files.get(identifier)):
        return found
    file.seek(0)
    return files.by_digest(hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest())


def _operator(_: HandOver) -> Answer:
    return Answer(True, "open.operator", "The operator recovers it.")


@contextlib.contextmanager
def _target(out: str) -> Iterator[BinaryIO]:
    """Where the plain text goes. A file gets its name only when it is whole."""
    if out == "-":
        yield sys.stdout.buffer
        return
    path = Path(out)
    partial_path = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(partial_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ContentError("F010", f"{out} cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.link(partial_path, path)  # fails when somebody made the name in the meantime
    except OSError as error:
        raise ContentError("F010", f"{out} cannot be written ({error.strerror})") from None
    finally:
        partial_path.unlink()


def _page(facts: HandOver) -> str:
    rows = [
        ("File", facts.name),
        ("Handed to", f"{facts.user_name} ({facts.user})" if facts.user_name else facts.user),
        ("Time", facts.time),
        ("App", facts.app),
        ("Policy", facts.policy),
        ("Label", facts.label),
        ("Activity", facts.activity),
        ("File id", facts.file),
    ]
    return "\n".join(f"{name:<10} {plain_text(value)}" for name, value in rows if value)


def plain_text(value: str) -> str:
    """Without what a terminal could take for a command."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in value)


def _wrong(message: str) -> int:
    print(message, file=sys.stderr)
    return 2
