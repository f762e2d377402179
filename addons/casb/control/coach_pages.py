"""The pages on which a person says why (`coach`), asks for an exception, and sees what became of it. Pure.

They work without script: forms, and a refresh that goes on. All that is shown is encoded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from casb.control.pages import ASK_PATH, COACH_PATH, REQUESTS_PATH, Page, facts_list, html
from casb.control.words import Words

LONGEST = 1000
"""Characters of a justification; what lies beyond is cut off."""
HOURS = (("4", "choose.hours"), ("24", "choose.day"), ("168", "choose.week"), ("720", "choose.month"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked before something goes on, as it was kept when it was stopped."""

    id: str
    session: str
    user: str
    app: str
    app_name: str
    policies: tuple[str, ...]
    policy: str
    thing: str
    activity: str
    title: str
    message: str
    message_tag: str
    reasons: tuple[str, ...]
    text: str
    lasts: int
    path: str  # where it goes on; "" when only the person can do it again
    method: str = "GET"
    pending: str = ""  # where the body is kept
    file: str = ""
    user_name: str = ""


def question_page(question: Question, words: Words, *, missing: bool = False, status: int = 403) -> Page:
    """The form. 403: nothing was handed over yet."""
    tag = f' lang="{escape(question.message_tag)}"' if question.message_tag else ""
    text = f"<p{tag} dir=auto>{escape(question.message)}</p>"
    if missing:
        text += f"<p role=alert>{escape(words('say.missing'))}</p>"
    form = f'<input type=hidden name=c value="{escape(question.id)}">'
    if question.reasons:
        options = "".join(f"<option dir=auto>{escape(each)}</option>" for each in question.reasons)
        form += (
            f"<label for=reason>{escape(words('label.reason'))}</label><select id=reason name=reason required>"
            f'<option value="">{escape(words("choose.reason"))}</option>{options}</select>'
        )
    form += _text_field(words, question.text)
    form += f'<p class="row"><button class="button">{escape(words("go.send"))}</button></p>'
    rows = facts_list(
        (
            (words("label.app"), question.app_name),
            (words("label.file"), question.file),
            (words("label.user"), question.user_name),
            (words("label.policy"), question.policy),
            (words("label.activity"), question.activity),
        )
    )
    body = f'{text}<form method=post action="{COACH_PATH}">{form}</form>{rows}'
    headers = (("x-casb-activity", question.activity),)
    # The answer goes on to wherever the app sends the browser: a redirect, too, is judged by form-action.
    return html(status, question.title, body, headers=headers, mark="?", words=words, form_action="'self' https:")


def _text_field(words: Words, text: str) -> str:
    if text == "no":
        return ""
    label = "label.text" if text == "required" else "label.text_optional"
    needed = " required" if text == "required" else ""
    return (
        f"<label for=text>{escape(words(label))}</label>"
        f"<textarea id=text name=text maxlength={LONGEST} dir=auto{needed}></textarea>"
    )


def onward_page(words: Words, path: str) -> Page:
    """It goes on: a download begins and this page stays, any other page takes its place."""
    link = f'<a class="button" href="{escape(path)}">{escape(words("go.on"))}</a>'
    body = f'<p role=status>{escape(words("say.thanks"))}</p><p class="row">{link}</p>'
    return html(200, words("title.thanks"), body, words=words, mark="✓", refresh=path)


def again_page(words: Words, back: str, app: str) -> Page:
    """It is allowed now, but only the person can do it again."""
    link = f'<a class="button plain" href="{escape(back)}">{escape(words("go.back", app=app))}</a>'
    body = f'<p role=status>{escape(words("say.repeat"))}</p><p class="row">{link}</p>'
    return html(200, words("title.thanks"), body, words=words, mark="✓")


def resend_page(words: Words, action: str, script: str) -> Page:
    """What was sent goes to the app now, from our own form; by itself where script runs."""
    button = f'<button class="button">{escape(words("go.on"))}</button>'
    form = f'<form method=post action="{escape(action)}"><p class="row">{button}</p></form>'
    body = f"<p role=status>{escape(words('say.thanks'))}</p>{form}"
    return html(200, words("title.thanks"), body, words=words, form_action="'self' https:", script=script, mark="✓")


def gone_page(words: Words) -> Page:
    """The question is not there any more, or was another session's."""
    return html(
        410, words("title.gone"), f"<p role=alert>{escape(words('say.gone'))}</p>", words=words, bad=True, mark="!"
    )


# --- exceptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What was refused, as it was kept: an exception can be asked for it."""

    activity: str
    session: str
    user: str
    user_name: str
    app: str
    app_name: str
    policy: str
    file: str
    kind: str  # the activity's type


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request for an exception and what became of it. `state`: waiting, approved, denied or over."""

    activity: str
    asked: datetime
    policy: str
    app_name: str
    file: str
    state: str
    until: datetime | None = None
    note: str = ""


def ask_page(refused: Refused, words: Words, *, missing: bool = False) -> Page:
    """The form on which access is asked for."""
    body = f"<p>{escape(words('say.ask'))}</p>"
    if missing:
        body += f"<p role=alert>{escape(words('say.missing'))}</p>"
    options = "".join(f"<option value={hours}>{escape(words(name))}</option>" for hours, name in HOURS)
    form = f'<input type=hidden name=a value="{escape(refused.activity)}">'
    form += _text_field(words, "required")
    form += f"<label for=hours>{escape(words('label.hours'))}</label><select id=hours name=hours>{options}</select>"
    form += f'<p class="row"><button class="button">{escape(words("go.ask"))}</button></p>'
    body += f'<form method=post action="{ASK_PATH}">{form}</form>'
    body += facts_list(
        (
            (words("label.app"), refused.app_name),
            (words("label.file"), refused.file),
            (words("label.user"), refused.user_name),
            (words("label.policy"), refused.policy),
            (words("label.activity"), refused.activity),
        )
    )
    return html(200, words("title.ask"), body, words=words, mark="?")


def asked_page(words: Words) -> Page:
    """It is on its way."""
    link = f'<a class="button" href="{REQUESTS_PATH}">{escape(words("go.requests"))}</a>'
    body = f'<p role=status>{escape(words("say.asked"))}</p><p class="row">{link}</p>'
    return html(200, words("title.asked"), body, words=words, mark="✓")


def requests_page(requests: Sequence[Request], words: Words) -> Page:
    """What was asked for in this app, and what became of it."""
    if not requests:
        return html(200, words("title.requests"), f"<p>{escape(words('say.none'))}</p>", words=words)
    items = "".join(f"<li>{_request(each, words)}</li>" for each in requests)
    return html(200, words("title.requests"), f"<ul class=requests>{items}</ul>", words=words)


def _request(request: Request, words: Words) -> str:
    rows: Iterable[tuple[str, str]] = (
        (words("label.state"), words(f"state.{request.state}")),
        (words("label.until"), f"{request.until:%Y-%m-%d %H:%M} UTC" if request.until else ""),
        (words("label.note"), request.note),
        (words("label.app"), request.app_name),
        (words("label.file"), request.file),
        (words("label.policy"), request.policy),
        (words("label.activity"), request.activity),
    )
    return f"<strong>{request.asked:%Y-%m-%d %H:%M} UTC</strong>{facts_list(rows)}"
