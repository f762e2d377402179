"""Exceptions to policies: list requests and exceptions, approve, deny, revoke, sign.

Examples:
  casb exception list
  casb exception approve 01KB3X0R1V8W0Y2Z4C6E8G0J2M --hours 24
  casb exception deny 01KB3X0R1V8W0Y2Z4C6E8G0J2M --note "ask your manager first"
  casb exception revoke x-01kb3x0r1v8w0y2z4c6e8g0j2m
  casb exception sign exceptions/auditor.yaml

An approval is a small signed file in `exceptions/` of the configuration folder; it is in force within two seconds, and
ends by itself. Every change is noted in `audit.jsonl` of the data folder. Exit status 1: no such request or exception,
or a file that would be refused.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.commands._log import settings_of
from casb.commands.activity import clean
from casb.errors import PolicyError
from casb.policy.exceptions import ExceptionFile, collect, dump
from casb.policy.exceptions import read as read_exception
from casb.sidecar import requests
from casb.store import auditfile, exceptions
from casb.store.atomic import replace_private
from casb.store.records_sqlite import Database, SqliteRecords, database_path
from casb.store.token import data_folder
from casb.yamlfile import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list | approve | deny | revoke | sign")
    listed = verbs.add_parser("list", help="requests that wait, and exceptions in force or refused")
    approve = verbs.add_parser("approve", help="allow what a request asks for")
    approve.add_argument("id", help="the request's activity id")
    approve.add_argument("--hours", type=int, default=0, help="for how long; what was asked for when left out")
    approve.add_argument("--any-file", action="store_true", help="for every file, not only the one that was refused")
    approve.add_argument("--any-app", action="store_true", help="in every app of the policy")
    deny = verbs.add_parser("deny", help="refuse a request")
    deny.add_argument("id", help="the request's activity id")
    deny.add_argument("--note", default="", help="a sentence for the person who asked")
    revoke = verbs.add_parser("revoke", help="end an exception")
    revoke.add_argument("id", help="the exception's id")
    sign = verbs.add_parser("sign", help="sign a file that was written or changed by hand")
    sign.add_argument("file", type=Path)
    for each in (listed, approve, deny, revoke, sign):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
        each.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 no such thing."""
    settings = settings_of(arguments.config)
    folder, data = Path(settings.folder), data_folder(settings)
    now = datetime.now(UTC)
    match arguments.what:
        case "list":
            _list(folder, data, database_path(settings), now, as_json=arguments.format == "json")
            return 0
        case "revoke":
            if arguments.id not in {name for _, name in exceptions.documents(folder)}:
                raise PolicyError("P074", f"there is no exception '{arguments.id[:80]}'")
            _audit(data, "exception revoked", exception=arguments.id)
            exceptions.revoke(folder, arguments.id)
        case "sign":
            _sign(arguments.file, data, now)
        case "approve":
            request = _request(database_path(settings), arguments.id)
            document = requests.document_of(
                request,
                by=_who(),
                now=now,
                hours=arguments.hours or request.hours,
                file="" if arguments.any_file else request.file,
                app="" if arguments.any_app else request.app,
            )
            _audit(data, "exception approved", exception=document.id, policy=document.policy, user=document.user)
            path = exceptions.grant(folder, data, document, now)
            print(f"{path}: until {document.until}")
        case _:
            request = _request(database_path(settings), arguments.id)
            exceptions.deny(data, request.id, _who(), now, arguments.note[:500])
            _audit(data, "exception denied", request=request.id, policy=request.policy, user=request.user)
    return 0


def _who() -> str:
    return getpass.getuser() if os.environ.get("USER") or os.name == "nt" else f"uid {os.getuid()}"


def _audit(data: Path, what: str, **detail: str) -> None:
    auditfile.note(data, what, datetime.now(UTC), **detail)


def _request(database: Path, identifier: str) -> requests.Asked:
    log = Database(database, read_only=True)
    try:
        found = requests.get(SqliteRecords(log), identifier)
    finally:
        log.close()
    if found is None:
        raise PolicyError("P074", f"there is no request '{identifier[:80]}'", hint="casb exception list")
    return found


def _sign(path: Path, data: Path, now: datetime) -> None:
    document = read(ExceptionFile, path.read_bytes(), str(path))
    text = dump(replace(document, signature=None), exceptions.signer(data))
    read_exception(str(path), text, verify=exceptions.verifier(data), now=now)
    replace_private(path, text)
    _audit(data, "exception signed", exception=document.id, policy=document.policy)


def _list(folder: Path, data: Path, database: Path, now: datetime, *, as_json: bool) -> None:
    texts = {str(path): path.read_bytes() for path, _ in exceptions.documents(folder)}
    found = collect(texts, verify=exceptions.verifier(data), now=now)
    waiting: list[requests.Asked] = []
    if database.exists():
        log = Database(database, read_only=True)
        try:
            waiting = [
                each for each in requests.asked(SqliteRecords(log), folder, data, now) if each.state == "waiting"
            ]
        finally:
            log.close()
    if as_json:
        told: dict[str, Any] = {
            "requests": [requests.to_json(each) for each in waiting],
            "exceptions": [
                {"id": each.id, "policy": each.policy, "user": each.user, "group": each.group, "app": each.app,
                 "file": each.file, "until": each.until.isoformat(), "approved_by": each.approved_by}
                for each in found.grants
            ],
            "refused": [str(each) for each in found.refused],
        }  # fmt: skip
        print(json.dumps(told))
        return
    for each in waiting:
        what = clean(f"{each.user} {each.kind} {each.file or '-'} in {each.app_name}: {each.text}")
        print(f"waiting  {each.id}  {each.policy}  {each.hours} h  {what}")
    for grant in found.grants:
        scope = " ".join(part for part in (grant.app, grant.file) if part) or "everything"
        whom, until = grant.user or grant.group, f"{grant.until:%Y-%m-%d %H:%M} UTC"
        print(f"in force {grant.id}  {grant.policy}  {whom}  {scope}  until {until}")
    for refused in found.refused:
        print(f"refused  {refused}", file=sys.stderr)
