"""Exceptions to policies: small signed, expiring files that say who need not mind which policy until when, and why.

`exceptions/*.yaml` in the configuration folder, one exception a file. The policy is still evaluated and reported; an
exception only keeps its action from being carried out. A file that was changed by hand, or signed by nobody we know,
or that has run out, counts as if it were not there, and is told. Checking a signature is handed in: nothing here holds
a key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from casb.errors import CasbError, PolicyError, Problems, Where
from casb.model.app import App
from casb.model.identity import User
from casb.model.record import rfc3339
from casb.yamlfile import Marks, did_you_mean, read_located

FOLDER = "exceptions/"
LONGEST_TEXT = 2000
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")

type Verify = Callable[[str, bytes, bytes], bool]
"""Key id, what was signed, signature: whether a key of the deployment made it."""
type Sign = Callable[[bytes], tuple[str, bytes]]
"""What is to be signed: key id and signature."""


def _doc(text: str, *examples: str) -> dict[str, Any]:
    return {"doc": text, "examples": examples}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Ed25519 (RFC 8032) over everything else in the file, whatever its layout."""

    key: str = field(metadata=_doc("The id of the key that signed."))
    value: str = field(metadata=_doc("The signature, in base64."))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionFile:
    """One exception. Made by `casb exception` or in the portal; a change by hand breaks the signature."""

    version: Literal[1] = field(metadata=_doc("The version of this format: 1."))
    kind: Literal["exception"] = field(metadata=_doc("Always `exception`."))
    id: str = field(metadata=_doc("Names it in records: small letters, digits and hyphens.", "x-01k9"))
    policy: str = field(metadata=_doc("The policy that need not be minded.", "block-payroll-downloads"))
    user: str = field(default="", metadata=_doc("Whom it is for, by sign-in name.", "ada@contoso.example"))
    group: str = field(default="", metadata=_doc("Or the group that it is for.", "auditors"))
    app: str = field(default="", metadata=_doc("The app it is for; every app of the policy when left out.", "files"))
    file: str = field(default="", metadata=_doc("The file it is for, by name; every file when left out.", "q3.xlsx"))
    until: str = field(metadata=_doc("When it ends, with its time zone.", "'2026-04-01T18:00:00Z'"))
    approved_by: str = field(metadata=_doc("Who allowed it.", "grace@contoso.example"))
    approved: str = field(metadata=_doc("When it was allowed.", "'2026-03-31T09:30:00Z'"))
    justification: str = field(default="", metadata=_doc("Why it was asked for."))
    request: str = field(default="", metadata=_doc("The activity id of the request that it answers."))
    signature: Signature | None = field(default=None, metadata=_doc("Put in by `casb exception sign`."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An exception whose signature holds. `until` is aware."""

    id: str
    policy: str
    user: str
    group: str
    app: str
    file: str
    until: datetime
    approved_by: str
    request: str
    where: Where

    def holds(self, user: User | None, app: App | None, file: str, now: datetime) -> bool:
        """Whether it is for this person, app and file, now."""
        if user is None or now >= self.until:
            return False
        if self.user and self.user.casefold() not in (user.name.casefold(), user.id.casefold()):
            return False
        if self.group and self.group not in user.groups:
            return False
        if self.app and (app is None or app.id != self.app):
            return False
        return not self.file or self.file == file


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptions:
    """Those in force, found by person. `refused` says what is wrong with the others."""

    grants: tuple[Grant, ...] = ()
    refused: tuple[CasbError, ...] = ()
    by_user: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict, repr=False)
    by_group: tuple[Grant, ...] = field(default=(), repr=False)

    def holding(self, user: User | None, app: App | None, file: str, now: datetime) -> Mapping[str, str]:
        """Policy to the id of the exception that holds for this person and thing; cheap where there are none."""
        if not self.grants or user is None:
            return _NOTHING
        found = {}
        names = {user.name.casefold(), user.id.casefold()}
        candidates = [*self.by_group, *(grant for name in names for grant in self.by_user.get(name, ()))]
        for grant in sorted(candidates, key=lambda each: each.id, reverse=True):
            if grant.holds(user, app, file, now):
                found[grant.policy] = grant.id  # of several, the lowest id
        return found


_NOTHING: Mapping[str, str] = {}


def collect(
    texts: Mapping[str, bytes],
    *,
    verify: Verify,
    now: datetime,
    policies: Collection[str] | None = None,
    apps: Collection[str] | None = None,
) -> Exceptions:
    """The exceptions of a folder, file name to text. Never raises: what is wrong with a file only concerns that file.

    `policies` and `apps` are what the deployment has, or None when that is not known.
    """
    grants: list[Grant] = []
    refused: list[CasbError] = []
    ids: dict[str, Where] = {}
    for name, text in sorted(texts.items()):
        try:
            grant = read(name, text, verify=verify, now=now, policies=policies, apps=apps)
        except Problems as problems:
            refused += problems.errors
            continue
        first = ids.setdefault(grant.id, grant.where)
        if first is not grant.where:
            refused.append(PolicyError("P075", f"the exception '{grant.id}' is there twice", grant.where, str(first)))
            continue
        grants.append(grant)
    return Exceptions(
        grants=tuple(grants),
        refused=tuple(refused),
        by_user=_by_user(grants),
        by_group=tuple(grant for grant in grants if not grant.user),
    )


def _by_user(grants: Iterable[Grant]) -> Mapping[str, tuple[Grant, ...]]:
    found: dict[str, tuple[Grant, ...]] = {}
    for grant in grants:
        if grant.user:
            name = grant.user.casefold()
            found[name] = (*found.get(name, ()), grant)
    return found


def read(
    name: str,
    text: bytes,
    *,
    verify: Verify,
    now: datetime,
    policies: Collection[str] | None = None,
    apps: Collection[str] | None = None,
) -> Grant:
    """One file. Raises `Problems` with everything that is wrong with it: P070 to P075, or what any YAML can have."""
    document, marks = read_located(ExceptionFile, text, name)
    errors: list[CasbError] = []
    until = _checked(document, marks, errors, policies, apps)
    _check_signature(document, marks, errors, verify)
    if until is not None and now >= until:
        where = marks.where(("until",))
        errors.append(PolicyError("P071", f"the exception ran out at {document.until}", where, "remove the file"))
    if errors or until is None:
        raise Problems(errors)
    return Grant(
        id=document.id,
        policy=document.policy,
        user=document.user,
        group=document.group,
        app=document.app,
        file=document.file,
        until=until,
        approved_by=document.approved_by,
        request=document.request,
        where=marks.where(("id",)),
    )


def _checked(
    document: ExceptionFile,
    marks: Marks,
    errors: list[CasbError],
    policies: Collection[str] | None,
    apps: Collection[str] | None,
) -> datetime | None:
    if not _ID.fullmatch(document.id):
        hint = "use small letters, digits and hyphens, at most 64"
        errors.append(PolicyError("P038", f"'{document.id[:80]}' cannot be an id", marks.where(("id",)), hint))
    if bool(document.user) == bool(document.group):
        where = marks.where(("user",), key=True)
        errors.append(PolicyError("P072", "an exception is for one person or one group", where, "give one of them"))
    if policies is not None and document.policy not in policies:
        where, hint = marks.where(("policy",)), did_you_mean(document.policy, policies)
        errors.append(PolicyError("P073", f"there is no policy '{document.policy}'", where, hint))
    if apps is not None and document.app and document.app not in apps:
        where, hint = marks.where(("app",)), did_you_mean(document.app, apps)
        errors.append(PolicyError("P031", f"unknown app '{document.app}'", where, hint))
    try:
        until = datetime.fromisoformat(document.until)
        if until.tzinfo is None:
            raise ValueError
    except ValueError:
        where = marks.where(("until",))
        hint = "write '2026-04-01T18:00:00Z'"
        errors.append(PolicyError("P017", f"'{document.until[:40]}' is no moment", where, hint))
        return None
    return until.astimezone(UTC)


def _check_signature(document: ExceptionFile, marks: Marks, errors: list[CasbError], verify: Verify) -> None:
    hint = "ask for it again, or run: casb exception sign FILE"
    if document.signature is None:
        errors.append(PolicyError("P070", "the exception is not signed", marks.where(("id",), key=True), hint))
        return
    where = marks.where(("signature", "value"))
    try:
        value = base64.b64decode(document.signature.value, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if not verify(document.signature.key, signed_part(document), value):
        message = "the signature does not fit: the file was changed, or signed by another deployment"
        errors.append(PolicyError("P070", message, where, hint))


def signed_part(document: ExceptionFile) -> bytes:
    """What is signed: every field but the signature, in one form whatever the file's layout is."""
    said = {name: getattr(document, name) for name in ExceptionFile.__dataclass_fields__ if name != "signature"}
    return b"casb exception 1\n" + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def dump(document: ExceptionFile, sign: Sign) -> bytes:
    """The file, signed. Quoted wherever YAML could read something else."""
    key, signature = sign(signed_part(document))
    lines = ["# Signed: a change by hand makes it void. `casb exception --help`", "version: 1", "kind: exception"]
    for name in ExceptionFile.__dataclass_fields__:
        value = getattr(document, name)
        if name not in ("version", "kind", "signature") and value:
            lines.append(f"{name}: {_quoted(value)}")
    lines.append(f"signature: {{key: {_quoted(key)}, value: {_quoted(base64.b64encode(signature).decode())}}}")
    return "\n".join(lines).encode() + b"\n"


def _quoted(value: str) -> str:
    """A double-quoted scalar (YAML 1.2 section 7.3.1): JSON's escapes are a subset of YAML's."""
    return orjson.dumps(value).decode()


def moment(when: datetime) -> str:
    """As `until` and `approved` are written."""
    return rfc3339(when)
