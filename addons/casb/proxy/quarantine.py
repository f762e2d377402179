"""Refused uploads that a policy keeps, and the page on which people fetch those that were released.

Keeping never lets an upload pass: it is refused before this is asked, and a file that cannot be kept is told of in a
line of its own. A file is given back only to who uploaded it, once it was released and while its time lasts; all of it
is read and compared before the first byte leaves.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mitmproxy import http

from casb.control.pages import Page, attachment, html
from casb.control.words import Words, words_for
from casb.errors import CasbError, Where
from casb.identity.sessions import LoginRecord
from casb.inspection.scan import extension
from casb.model.activity import Activity, ActivityType, Source
from casb.model.decision import Action, Answer, Decision, Effect, Reason
from casb.model.file import FileFacts
from casb.model.record import Record, rfc3339
from casb.protection.encrypt import HandOver
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.waiting import Handed
from casb.store.quarantine import Stored, Vault, folder_of
from casb.store.quarantine_sqlite import Quarantined, QuarantinedFiles, line_of

if TYPE_CHECKING:
    from casb.proxy.translate import State
    from casb.store.held import HeldBody

logger = logging.getLogger(__name__)

PATH = "/.casb/quarantine"


def vault_of(state: State) -> Vault:
    """The folder under the configuration in force."""
    settings = state.snapshot.settings
    folder = folder_of(settings, Path(settings.data))
    return Vault(folder, limit=settings.quarantine.limit, floor=settings.limits.spool_free)


class Keeping:
    """Puts what is refused into the quarantine."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def wants(self, state: State, effect: Effect) -> bool:
        """Whether the bytes of an upload that meets with `effect` are to be kept, and it was not tried yet."""
        return isinstance(effect, Answer) and effect.decision.quarantine and not state.kept

    def address(self, state: State) -> str:
        """Where people see what was kept of theirs."""
        settings = state.snapshot.settings
        return settings.address_of(settings.login_host) + PATH

    async def keep(self, state: State, record: Record, body: bytes | HeldBody) -> str:
        """Keep the file that a record refused: `kept`, or `failed`. Raises nothing: what cannot be kept is told of."""
        try:
            stored = await asyncio.to_thread(self._store, state, record, body)
        except CasbError as error:
            return self.failed(state, record, error.message)
        except Exception:
            log_fault(logger, "a refused file was not kept")
            return self.failed(state, record, "an error of ours")
        return self._tell(state, record, stored, "")

    def failed(self, state: State, record: Record, why: str) -> str:
        """The file that a record refused is not kept, and this is told of; `failed`."""
        size = record.activity.file.size if record.activity.file else None
        return self._tell(state, record, Stored(size=size or state.facts.content_length or 0, sha256=""), why)

    def _store(self, state: State, record: Record, body: bytes | HeldBody) -> Stored:
        user, app, file = record.activity.user, record.activity.app, record.activity.file
        facts = HandOver(
            file=record.activity.id,
            user=user.id if user else "-",
            user_name=user.name if user else "",
            name=(file.name if file else "")[:255],
            app=app.id if app else "",
            policy=record.decision.policy or "",
            activity=record.activity.id,
            time=rfc3339(record.activity.time),
            expires=rfc3339(_until(state, record)),
        )
        pieces: Iterable[bytes] = _pieces(body) if isinstance(body, bytes) else body.pieces()
        recovery = state.snapshot.settings.recovery_recipient
        return vault_of(state).keep(facts, pieces, self.runtime.keyring.wrap, os.urandom, recovery)

    def _tell(self, state: State, record: Record, stored: Stored, failure: str) -> str:
        line = line_of(record, _until(state, record), size=stored.size, sha256=stored.sha256, failure=failure)
        try:
            self.runtime.tell(line)
        except Exception:
            log_fault(logger, "what became of a refused file could not be told")
            return "failed"  # a file without its line is found by the sidecar's tidying
        self.runtime.counters["quarantine_failed" if failure else "quarantined"] += 1
        return "failed" if failure else "kept"


def _until(state: State, record: Record) -> Any:
    return record.activity.time + timedelta(seconds=state.snapshot.settings.quarantine.keep)


def _pieces(body: bytes, size: int = 1024 * 1024) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


# ---------------------------------------------------------------- what people see


def page_of(runtime: Runtime, state: State, login: LoginRecord) -> Page:
    """The files of the person who is signed in. Raises `StoreError`."""
    words = words_for(state.fields.get(b"accept-language", b"").decode("latin-1")[:1000])
    files = QuarantinedFiles(state.snapshot.settings.data).of_user(login.user.id)
    rows = "".join(_row(each, words) for each in files)
    told = words("say.kept_files") if files else words("say.kept_none")
    listed = f"<ul class=requests>{rows}</ul>" if rows else ""
    return html(200, words("title.kept"), f"<p>{escape(told)}</p>{listed}", words=words)


def _row(file: Quarantined, words: Words) -> str:
    over = file.until <= now()
    state = "expired" if over and file.is_here else file.state
    told = words(f"state.{state}")
    if file.is_here and not over:
        told += f", {words('say.until', until=f'{file.until:%Y-%m-%d %H:%M} UTC')}"
    button = ""
    if state == "released":
        name = escape(file.name or file.id)
        button = (
            f'<form method=post action="{PATH}"><input type=hidden name=file value="{escape(file.id)}">'
            f'<button class=button aria-label="{escape(words("go.download"))} {name}">{escape(words("go.download"))}'
            "</button></form>"
        )
    return (
        f"<li><strong dir=auto>{escape(file.name or file.id)}</strong><br>"
        f"<small>{escape(file.app_name or file.app)}, {file.time:%Y-%m-%d %H:%M} UTC, "
        f"{escape(words('label.id'))}: <code>{escape(file.id)}</code></small><br>{escape(told)}{button}</li>"
    )


class _Giving(Handed):
    """A released file on its way to whoever uploaded it, decrypted as it leaves."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    @property
    def empty(self) -> bool:
        return False

    def given(self) -> Iterable[bytes]:
        """The file."""
        return self._pieces


async def give(runtime: Runtime, flow: http.HTTPFlow, state: State, login: LoginRecord) -> Page | None:
    """Hand a released file over, or a page that says no; None when the flow has been given the file."""
    body = flow.request.raw_content or b""
    identifier = parse_qs(body[:1000].decode("latin-1")).get("file", [""])[0]
    words = words_for(state.fields.get(b"accept-language", b"").decode("latin-1")[:1000])
    rows, vault = QuarantinedFiles(state.snapshot.settings.data), vault_of(state)
    unwrap = runtime.keyring.unwrap
    file = await asyncio.to_thread(rows.get, identifier)
    why = _why_not(file, login)
    if file is None or file.user != login.user.id:
        file = None  # it is not told who has which file
    elif not why:
        try:
            stored = await asyncio.to_thread(vault.check, file.id, unwrap)
            why = "" if stored == Stored(size=file.size, sha256=file.sha256) else "it was changed"
        except CasbError as error:
            why = error.message
    record = _record(state, login, file, why)
    runtime.log(record)
    headers = (("x-casb-activity", record.activity.id),)
    if file is None or why:
        text = f"<p>{escape(words('say.kept_gone'))}</p>"
        return html(404, words("title.not_kept"), text, headers=headers, words=words, bad=True, mark="!")
    await asyncio.to_thread(rows.fetched, file.id)
    translate.answer(flow, _head(file, headers))
    if flow.response is None:
        raise LookupError("no answer")
    flow.response.headers["content-length"] = str(file.size)
    state.taking = _Giving(vault.open(file.id, unwrap))
    return None


def _why_not(file: Quarantined | None, login: LoginRecord) -> str:
    if file is None:
        return "there is no such file"
    if file.user != login.user.id:
        return "somebody else uploaded it"
    if file.state != "released":
        return f"it is {file.state}"
    return "its time is over" if file.until <= now() else ""


def _head(file: Quarantined, headers: tuple[tuple[str, str], ...]) -> Page:
    return Page(
        status=200,
        headers=(
            ("content-type", "application/octet-stream"),
            ("content-disposition", attachment(file.name or file.id)),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            *headers,
        ),
        body=b"",
    )


def _record(state: State, login: LoginRecord, file: Quarantined | None, why: str) -> Record:
    """That somebody fetched a released file, or tried."""
    snapshot = state.snapshot
    agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
    client, device = snapshot.client(state.ip, agent, login.device)
    name = file.name if file else ""
    activity = Activity(
        id=ulid(),
        time=now(),
        type=ActivityType.DOWNLOAD,
        app=snapshot.catalog.by_id.get(file.app) if file else None,
        user=login.user,
        device=device,
        client=client,
        session_id=login.id,
        file=FileFacts(name=name, extension=extension(name), size=file.size, sha256=file.sha256) if file else None,
        request=state.facts,
        source=Source.ACCESS_CONTROL,
    )
    reason = Reason(
        code="quarantine.fetch",
        policy=file.policy if file else "",
        where=Where(file=snapshot.settings.folder),
        condition=f"released by {file.changed_by}" if file and file.changed_by else "released",
        fact=why or "fetched by who uploaded it",
    )
    return Record(
        activity=activity,
        decision=Decision(action=Action.BLOCK if why else Action.AUDIT, reasons=(reason,)),
        policy_version=snapshot.version,
        extra={"quarantine": {"file": file.id}} if file else {},
    )
