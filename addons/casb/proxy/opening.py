"""Opening a protected file in the browser: the person it was handed to gets it back, anybody else a reason."""

from __future__ import annotations

from functools import partial
from html import escape

from mitmproxy import http

from casb.control.pages import Page, attachment, facts_list, html
from casb.errors import ContentError, Where
from casb.identity.sessions import LoginRecord
from casb.model.activity import Activity, ActivityType, Source
from casb.model.decision import Action, Decision, Reason
from casb.model.file import FileFacts
from casb.model.record import Record
from casb.protection.encrypt import HandOver
from casb.protection.entitlement import may_open
from casb.protection.opening import Opener
from casb.proxy.forms import form_files
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State


def open_page(user_name: str) -> Page:
    """The form."""
    return html(
        200,
        "Open a protected file",
        f"<p>You are signed in as {escape(user_name)}. Choose a file that was handed to you encrypted "
        "(its name ends in <code>.age</code>); you get it back as it was.</p>"
        '<form method="post" action="/.casb/open" enctype="multipart/form-data">'
        '<label for="file">Protected file</label><input id="file" type="file" name="file" required>'
        '<p class="row"><button class="button">Open</button></p></form>',
    )


def opened(runtime: Runtime, flow: http.HTTPFlow, state: State, login: LoginRecord) -> Page:
    """The plain file, or why not. Either way it is written down who asked for which file."""
    opener = Opener(runtime.keyring.unwrap, partial(may_open, user=login.user, device=login.device))
    identifier = ulid()
    try:
        plain = opener.update(_upload(flow)) + opener.finish()
    except ContentError as error:
        _log(runtime, state, login, identifier, opener.facts, error)
        return html(
            403 if error.code == "F007" else 422,
            "This file cannot be opened",
            f"<p>{escape(error.message)}</p>"
            + facts_list((("Signed in as", login.user.name), ("Activity", identifier)))
            + '<p class="row"><a class="button plain" href="/.casb/open">Another file</a></p>',
            headers=(("x-casb-activity", identifier),),
            bad=True,
            mark="!",
        )
    _log(runtime, state, login, identifier, opener.facts, None)
    name = opener.facts.name if opener.facts else "file"
    return Page(
        status=200,
        headers=(
            ("content-type", "application/octet-stream"),
            ("content-disposition", attachment(name)),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-casb-activity", identifier),
        ),
        body=plain,
    )


def _upload(flow: http.HTTPFlow) -> bytes:
    """The file part of the form."""
    for each in form_files(flow.request.headers.get("content-type", ""), flow.request.raw_content or b""):
        return each.content
    raise ContentError("F001", "no file was sent", hint="choose a file and send the form again")


def _log(
    runtime: Runtime,
    state: State,
    login: LoginRecord,
    identifier: str,
    facts: HandOver | None,
    error: ContentError | None,
) -> None:
    snapshot = state.snapshot
    agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
    client, device = snapshot.client(state.ip, agent, login.device)
    activity = Activity(
        id=identifier,
        time=now(),
        type=ActivityType.VIEW,
        app=snapshot.catalog.by_id.get(facts.app) if facts else None,
        user=login.user,
        device=device,
        client=client,
        session_id=login.id,
        file=FileFacts(name=facts.name) if facts else None,
        request=state.facts,
        source=Source.ACCESS_CONTROL,
    )
    reason = Reason(
        code="protect.open",
        policy=facts.policy if facts else "",
        where=Where(file=snapshot.settings.folder),
        condition=f"handed over to {facts.user_name}" if facts else "a protected file of ours",
        fact=error.message if error else "opened by the person it was handed to",
    )
    decision = Decision(action=Action.BLOCK if error else Action.AUDIT, reasons=(reason,))
    runtime.log(Record(activity=activity, decision=decision, policy_version=snapshot.version))
