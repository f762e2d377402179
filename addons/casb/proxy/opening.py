"""Opening a protected file again: who asks, on which device and under which policies is looked at now, every time.

The file stays with the person. An age container is decrypted by the page's script with the key that `key` gives; of a
file with a password only its digest or id comes here, and `password` gives the password. Without script, a container
can be sent here and comes back plain (`opened`). Each of them is written down, allowed or refused.
"""

from __future__ import annotations

import base64
import functools
import json
from dataclasses import replace
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from mitmproxy import http

from casb.control.pages import Page, attachment, facts_list, html, json_page
from casb.errors import ContentError, StoreError, Where
from casb.identity.sessions import LoginRecord
from casb.inspection.scan import extension
from casb.model.activity import Activity, ActivityType, Source
from casb.model.decision import Action, Decision, Reason
from casb.model.file import FileFacts
from casb.model.record import Record
from casb.policy.engine import decide
from casb.protection.encrypt import HandOver, unwrap_secret
from casb.protection.entitlement import Answer, may_open
from casb.protection.opening import Opener
from casb.proxy.forms import form_files
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State
from casb.store.protected_sqlite import ProtectedFile

HEADER = 64 * 1024
"""Bytes of a container's start that `key` takes."""

_HELP = {
    "office": "Open the file in its own program and give this password.",
    "pdf": "Open the file in any PDF reader and give this password.",
    "zip_aes": "Open the archive with 7-Zip or another program that knows AES, and give this password.",
    "cms": "Open it with: openssl cms -decrypt -inform DER -in FILE -binary -secretkey KEY -secretkeyid ID; the key is "
    "above, the id is the file's: ",
}


class Asking:
    """One person asking for one file."""

    def __init__(self, runtime: Runtime, state: State, login: LoginRecord) -> None:
        self.runtime = runtime
        self.state = state
        self.login = login
        self.identifier = ulid()
        agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
        self.client, self.device = state.snapshot.client(state.ip, agent, login.device)

    def decide(self, facts: HandOver) -> Answer:
        """Whether the file may be opened here and now. Raises `StoreError` when that cannot be found out."""
        row = self.runtime.protected.get(facts.file)
        standing = row.standing if row else None
        answer = may_open(facts, self.login.user, self.device, now=now(), standing=standing)
        if not answer.allowed:
            return answer
        decision = decide(self.activity(facts, ActivityType.DOWNLOAD), self.state.snapshot.policies)
        if decision.action >= Action.STEP_UP:
            reason = decision.message or "The policies in force today do not let you have this file here."
            return Answer(False, "open.policy", reason, "F017")
        return answer

    def activity(self, facts: HandOver | None, kind: ActivityType) -> Activity:
        session = self.login.session()
        known = self.state.snapshot.catalog.by_id
        name = facts.name if facts else ""
        return Activity(
            id=self.identifier,
            time=now(),
            type=kind,
            app=known.get(facts.app) if facts else None,
            user=self.login.user,
            device=self.device,
            client=self.client,
            session_id=self.login.id,
            auth_contexts=session.auth_contexts,
            file=FileFacts(name=name, extension=extension(name), label=facts.label or None) if facts else None,
            request=self.state.facts,
            source=Source.ACCESS_CONTROL,
        )

    def log(self, facts: HandOver | None, error: ContentError | None) -> None:
        """Write it down. Raises `StoreError`: then nothing is opened."""
        snapshot = self.state.snapshot
        reason = Reason(
            code="protect.open",
            policy=facts.policy if facts else "",
            where=Where(file=snapshot.settings.folder),
            condition=f"handed over to {facts.user_name}" if facts else "a protected file of ours",
            fact=error.message if error else "opened by a person entitled to it",
        )
        decision = Decision(action=Action.BLOCK if error else Action.AUDIT, reasons=(reason,))
        extra: dict[str, Any] = {}
        if facts:
            extra["opened"] = {"file": facts.file, "activity": facts.activity, "code": error.code if error else ""}
        activity = replace(self.activity(facts, ActivityType.VIEW), time=now())
        self.runtime.log(
            Record(
                activity=activity,
                decision=decision,
                policy_version=snapshot.version,
                extra=extra,
            )
        )
        if facts and not error:
            self.runtime.tell({"kind": "opened", "id": self.identifier, "file": facts.file})


def open_page(runtime: Runtime, flow: http.HTTPFlow, login: LoginRecord) -> Page:
    """The page: choose a file, or one of those that have a password and were handed over lately."""
    wanted = parse_qs(flow.request.path.partition("?")[2]).get("file", [""])[0]
    try:
        recent = [each for each in runtime.protected.of_user(login.user.id, 50) if each.secret]
    except StoreError:
        recent = []  # the page still opens containers; asking for a password tells what is wrong
    recent.sort(key=lambda each: (each.facts.file != wanted, -each.time.timestamp()))
    rows = "".join(_row(each, each.facts.file == wanted) for each in recent[:10])
    listed = f"<h2>Handed to you with a password</h2><ul>{rows}</ul>" if rows else ""
    return html(
        200,
        "Open a protected file",
        f"<p>You are signed in as {escape(login.user.name)}. Choose a file that was handed to you protected. It stays "
        "on your device.</p>"
        '<form id="open" method="post" action="/.casb/open" enctype="multipart/form-data">'
        '<label for="file">Protected file</label><input id="file" type="file" name="file" required>'
        '<p class="row"><button class="button">Open</button></p></form>'
        '<p id="said" role="status"></p>'
        '<section id="secret" hidden><h2>Password of <span id="secret-name"></span></h2>'
        '<p class="row"><input id="secret-text" aria-label="Password" readonly size="34"> '
        '<button class="button" id="copy" type="button">Copy</button></p><p id="secret-help"></p></section>' + listed,
        script=_script(),
        connect="'self'",
    )


@functools.cache
def _script() -> str:
    return (files("casb.proxy") / "open.js").read_text("utf-8")


def _row(file: ProtectedFile, wanted: bool) -> str:
    name = escape(file.facts.name)
    return (
        f'<li><form method="post" action="/.casb/open/secret" data-file="{escape(file.facts.file)}">'
        f'<input type="hidden" name="file" value="{escape(file.facts.file)}">{"<b>" if wanted else ""}{name}'
        f"{'</b>' if wanted else ''} <small>{file.time:%Y-%m-%d %H:%M} UTC</small> "
        f'<button class="button plain" aria-label="Show the password of {name}">Show the password</button></form></li>'
    )


def key(runtime: Runtime, flow: http.HTTPFlow, state: State, login: LoginRecord) -> Page:
    """The key of a container whose first bytes are the body: for the page's script, and for `age-plugin-casb`."""
    asking = Asking(runtime, state, login)
    opener = Opener(runtime.keyring.unwrap, asking.decide)
    body = flow.request.raw_content or b""
    try:
        opener.update(body[:HEADER])
        if opener.facts is None or opener.file_key is None:
            raise ContentError("F006", "the container ends inside its header")
    except ContentError as error:
        asking.log(opener.facts, error)
        return _refused(error, asking.identifier)
    asking.log(opener.facts, None)
    told = {
        "key": base64.b64encode(opener.file_key).decode("ascii"),
        "length": opener.header_length,
        "name": opener.facts.name,
        "activity": asking.identifier,
    }
    return json_page(200, told, headers=(("x-casb-activity", asking.identifier),))


def password(runtime: Runtime, flow: http.HTTPFlow, state: State, login: LoginRecord) -> Page:
    """The password of a file, by its id or its digest: JSON for the page's script, a page for its form."""
    asking = Asking(runtime, state, login)
    facts: HandOver | None = None
    plain = state.facts.content_type == "application/x-www-form-urlencoded"
    try:
        file = _wanted(runtime, flow, plain=plain)
        facts = file.facts
        answer = asking.decide(facts)
        if not answer.allowed:
            raise ContentError(answer.error, answer.reason)
        secret = unwrap_secret(facts.file, file.key_id, file.secret, runtime.keyring.unwrap)
    except ContentError as error:
        asking.log(facts, error)
        return _refused_page(error, asking) if plain else _refused(error, asking.identifier)
    asking.log(facts, None)
    help_text = _HELP.get(file.format, "") + (facts.file.encode().hex() if file.format == "cms" else "")
    headers = (("x-casb-activity", asking.identifier),)
    if not plain:
        told = {"secret": secret, "name": facts.name, "help": help_text, "activity": asking.identifier}
        return json_page(200, told, headers=headers)
    content = f"<p><code>{escape(secret)}</code></p><p>{escape(help_text)}</p>"
    content += '<p class="row"><a class="button plain" href="/.casb/open">Another file</a></p>'
    return html(200, f"Password of {facts.name}", content, headers=headers)


def _wanted(runtime: Runtime, flow: http.HTTPFlow, *, plain: bool) -> ProtectedFile:
    """The file that is asked for. Raises `ContentError` F018."""
    unknown = ContentError("F018", "nothing is known of this file; if it was handed over just now, try in a minute")
    body = flow.request.raw_content or b""
    try:
        found: Any = json.loads(body) if not plain else {k: v[0] for k, v in parse_qs(body.decode("ascii")).items()}
        identifier, digest = str(found.get("file", "")), str(found.get("sha256", ""))
    except (ValueError, AttributeError, RecursionError):
        raise unknown from None
    file = runtime.protected.get(identifier) if identifier else runtime.protected.by_digest(digest)
    if file is None or not file.secret:
        raise unknown
    return file


def opened(runtime: Runtime, flow: http.HTTPFlow, state: State, login: LoginRecord) -> Page:
    """The plain file, or why not, for browsers without script."""
    asking = Asking(runtime, state, login)
    opener = Opener(runtime.keyring.unwrap, asking.decide)
    try:
        plain = opener.update(_upload(flow)) + opener.finish()
    except ContentError as error:
        asking.log(opener.facts, error)
        return _refused_page(error, asking)
    asking.log(opener.facts, None)
    name = opener.facts.name if opener.facts else "file"
    return Page(
        status=200,
        headers=(
            ("content-type", "application/octet-stream"),
            ("content-disposition", attachment(name)),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-casb-activity", asking.identifier),
        ),
        body=plain,
    )


_NOT_ENTITLED = frozenset({"F007", "F016", "F017"})


def _refused(error: ContentError, identifier: str) -> Page:
    status = 403 if error.code in _NOT_ENTITLED else 422
    told = {"casb": "refused", "code": error.code, "message": _sentence(error.message), "activity": identifier}
    return json_page(status, told, headers=(("x-casb-activity", identifier),))


def _refused_page(error: ContentError, asking: Asking) -> Page:
    return html(
        403 if error.code in _NOT_ENTITLED else 422,
        "This file cannot be opened",
        f"<p>{escape(_sentence(error.message))}</p>"
        + facts_list((("Signed in as", asking.login.user.name), ("Activity", asking.identifier)))
        + '<p class="row"><a class="button plain" href="/.casb/open">Another file</a></p>',
        headers=(("x-casb-activity", asking.identifier),),
        bad=True,
        mark="!",
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _upload(flow: http.HTTPFlow) -> bytes:
    """The file part of the form."""
    for each in form_files(flow.request.headers.get("content-type", ""), flow.request.raw_content or b""):
        return each.content
    raise ContentError("F001", "no file was sent", hint="choose a file and send the form again")
