"""The pages and texts a user sees when we answer instead of the app. Pure: values in, bytes and headers out.

Every page stands alone: no script, no foreign host, one inline style allowed by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from casb.control.words import Words, said, words_for
from casb.model.activity import RequestFacts, RequestMode
from casb.model.decision import Action, Decision

COACH_PATH = "/.casb/justify"
ASK_PATH = "/.casb/ask"
REQUESTS_PATH = "/.casb/requests"

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5b6675;--line:#d9dfe7;--card:#fff;
--ground:#f3f5f8;--accent:#1f5fbf;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e8edf4;--soft:#9aa7b8;--line:#313b49;--card:#1a212b;
--ground:#11161d;--accent:#7fb0ff;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--ground);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{width:100%;max-width:620px;background:var(--card);border:1px solid var(--line);border-radius:14px;
padding:36px 40px;box-shadow:0 10px 30px rgb(0 0 0/.06)}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 14px}
h2{font-size:1.05rem;margin:24px 0 8px}
.mark{width:44px;height:44px;border-radius:50%;display:grid;place-items:center;font-weight:700;font-size:1.35rem;margin-bottom:18px;
color:#fff;background:var(--accent)}
.mark.bad{background:var(--bad)}
p{margin:0 0 12px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 18px;margin:22px 0 0;padding-top:18px;
border-top:1px solid var(--line);font-size:.92rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{font:.92em ui-monospace,"DejaVu Sans Mono",monospace}
a,button{color:var(--accent)}
#said.bad{color:var(--bad)}
.row{display:flex;gap:12px;flex-wrap:wrap;margin-top:22px}
.button{display:inline-block;border:1px solid var(--accent);background:var(--accent);color:#fff;
border-radius:8px;padding:9px 18px;font:inherit;text-decoration:none;cursor:pointer}
.button.plain{background:none;color:var(--accent)}
ul{padding-left:20px}
input[type=file]{display:block;width:100%;padding:18px;border:2px dashed var(--line);border-radius:10px;margin:16px 0}
progress{width:100%;height:12px;accent-color:var(--accent);margin:8px 0}
small{color:var(--soft)}
label{display:block;font-weight:600;margin:14px 0 4px}
select,textarea{width:100%;font:inherit;color:var(--ink);background:var(--ground);border:1px solid var(--soft);
border-radius:8px;padding:9px 11px}
textarea{min-height:6.5em;resize:vertical}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
[role=alert]{color:var(--bad);font-weight:600}
.requests>li{margin:0 0 14px;overflow-wrap:anywhere}
""".strip()

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A complete answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def html(
    status: int,
    title: str,
    content: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    form_action: str = "'self'",
    bad: bool = False,
    mark: str = "i",
    script: str = "",
    connect: str = "",
    words: Words | None = None,
    refresh: str = "",
    ancestors: str = "'none'",
) -> Page:
    """A page around `content`, which is HTML already escaped by the caller. `script` is ours alone, allowed by hash;
    `connect` are the CSP sources that it may send to. `words` are the page's language; `refresh` is where it goes on by
    itself, without any script; `ancestors` are those that may frame the page."""
    tag, direction = (words.tag, words.direction) if words else ("en", "ltr")
    onward = f'<meta http-equiv=refresh content="0;url={escape(refresh)}">' if refresh else ""
    body = (
        f"<!doctype html><html lang={tag} dir={direction}><head><meta charset=utf-8>"
        f'<meta name=viewport content="width=device-width,initial-scale=1">{onward}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<div class="mark{" bad" if bad else ""}" aria-hidden=true>{escape(mark)}</div>'
        f"<h1>{escape(title)}</h1>{content}</main>"
        f"{f'<script>{script}</script>' if script else ''}</body></html>"
    ).encode()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    allowed += f"connect-src {connect}; " if connect else ""
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; {allowed}form-action {form_action}; "
        f"frame-ancestors {ancestors}; base-uri 'none'"
    )
    return Page(
        status=status,
        headers=(
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", policy),
            *_COMMON,
            *headers,
        ),
        body=body,
    )


_COMMON = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


def facts_list(rows: Iterable[tuple[str, str]]) -> str:
    """Label and value pairs; empty values are left out."""
    inner = "".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in rows if value)
    return f"<dl>{inner}</dl>"


def json_page(status: int, value: object, *, headers: Iterable[tuple[str, str]] = ()) -> Page:
    """For scripts."""
    return Page(
        status=status,
        headers=(("content-type", "application/json"), *_COMMON, *headers),
        body=json.dumps(value, separators=(",", ":")).encode(),
    )


def redirect(location: str, *, headers: Iterable[tuple[str, str]] = ()) -> Page:
    """303: the next request is a GET whatever this one was."""
    return Page(status=303, headers=(("location", location), *_COMMON, *headers), body=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a refused exchange is answered from."""

    activity_id: str
    decision: Decision
    facts: RequestFacts | None
    app_name: str
    user_name: str = ""
    file_name: str = ""
    is_download: bool = False
    is_logon: bool = False
    languages: str = ""  # `Accept-Language`
    ask: str = ""  # the path under which an exception can be asked for
    origin: str = ""  # scheme and authority that the browser knows, for a text outside of any page
    coach: str = ""  # the id of the question that was kept (`coach`)

    @property
    def words(self) -> Words:
        """What our own texts are said with."""
        return words_for(self.languages)


def message_of(refusal: Refusal) -> str:
    """The sentence that explains it: the policy's own message, or one of ours."""
    decision, words = refusal.decision, refusal.words
    if decision.message:
        return said(decision, refusal.languages)[0]
    if decision.default_behaviour:
        return words("say.failure")
    if refusal.is_logon:
        what = words("what.logon", app=refusal.app_name)
    else:
        what = words("what.download" if refusal.is_download else "what.action")
    kind = decision.action.word if decision.action in (Action.STEP_UP, Action.COACH, Action.NOTIFY) else "block"
    return words(f"say.{kind}", what=what)


def in_language(refusal: Refusal) -> str:
    """The message as HTML, marked where it is in another language than the page around it."""
    tag = said(refusal.decision, refusal.languages)[1]
    if tag and tag != refusal.words.tag:
        return f'<p lang="{escape(tag)}" dir=auto>{escape(message_of(refusal))}</p>'
    return f"<p dir=auto>{escape(message_of(refusal))}</p>"


def notice(refusal: Refusal) -> dict[str, Any]:
    """What the dialog in the page shows. `coach` is the question that it asks, `ask` where access is asked for."""
    decision, words = refusal.decision, refusal.words
    told: dict[str, Any] = {
        "kind": _KINDS.get(decision.action, "block"),
        "title": title_of(refusal),
        "message": message_of(refusal),
        "file": refusal.file_name,
        "app": refusal.app_name,
        "policy": decision.policy or "",
        "activity": refusal.activity_id,
        "words": {
            "lang": words.tag,
            "dir": words.direction,
            "close": words("go.close"),
            "cancel": words("go.cancel"),
            "file": words("label.file"),
            "policy": words("label.policy"),
            "activity": words("label.activity"),
        },
    }
    if refusal.ask:
        told |= {"help_url": refusal.ask, "help_text": words("go.ask")}
    if refusal.coach and decision.coaching is not None:
        text = decision.coaching.text
        told["coach"] = {"id": refusal.coach, "reasons": list(decision.coaching.reasons), "text": text}
        told["words"] |= {
            "reason": words("label.reason"),
            "choose": words("choose.reason"),
            "text": words("label.text" if text == "required" else "label.text_optional"),
            "send": words("go.send"),
            "missing": words("say.missing"),
            "repeat": words("say.repeat"),
        }
    return told


_KINDS: Mapping[Action, str] = {Action.STEP_UP: "step-up", Action.COACH: "coach", Action.NOTIFY: "notify"}


def title_of(refusal: Refusal) -> str:
    """A few words."""
    words, action = refusal.words, refusal.decision.action
    if action in (Action.COACH, Action.NOTIFY):
        return words(f"title.{action.word}")
    if refusal.is_logon:
        return words("title.logon", app=refusal.app_name)
    return words("title.download" if refusal.is_download else "title.action")


def rows_of(refusal: Refusal) -> str:
    """What the page says of what was stopped."""
    words = refusal.words
    return facts_list(
        (
            (words("label.app"), refusal.app_name),
            (words("label.file"), refusal.file_name),
            (words("label.user"), refusal.user_name),
            (words("label.policy"), refusal.decision.policy or ""),
            (words("label.activity"), refusal.activity_id),
        )
    )


def refusal_page(refusal: Refusal, *, shown: bool = False) -> Page:
    """The answer in the form that its reader can use: page, text file in place of the file, or JSON. `shown`: a page of
    ours is open, which the answer replaces."""
    headers = [("x-casb-activity", refusal.activity_id)]
    facts = refusal.facts
    mode = facts.mode if facts else RequestMode.OTHER
    if mode is RequestMode.NAVIGATION and refusal.is_download and not shown:
        return _text_file(refusal, headers)
    words = refusal.words
    if mode is RequestMode.NAVIGATION:
        body = in_language(refusal) + rows_of(refusal)
        body += f"<p><small>{escape(words('say.help'))}</small></p>"
        if refusal.ask:
            link = f'<a class="button plain" href="{escape(refusal.ask)}">{escape(words("go.ask"))}</a>'
            body += f'<p class="row">{link}</p>'
        return html(403, title_of(refusal), body, headers=headers, bad=True, mark="!", words=words)
    kind = _KINDS.get(refusal.decision.action, "blocked")
    value = notice(refusal) | {"casb": kind, "policy": refusal.decision.policy}
    del value["kind"]
    if refusal.coach:
        value["url"] = f"{COACH_PATH}?c={refusal.coach}"
    return json_page(403, value, headers=headers)


def _text_file(refusal: Refusal, headers: list[tuple[str, str]]) -> Page:
    """A text file in place of the file. 200, because browsers drop the body of a failed download."""
    name = refusal.file_name or "download"
    words = refusal.words
    rows = (
        (words("label.file"), name),
        (words("label.app"), refusal.app_name),
        (words("label.user"), refusal.user_name),
        (words("label.policy"), refusal.decision.policy or "-"),
        (words("label.activity"), refusal.activity_id),
    )
    wide = max(len(label) for label, _ in rows) + 2
    text = f"{title_of(refusal)}\n\n{message_of(refusal)}\n\n"
    text += "".join(f"{f'{label}:':<{wide}}{value}\n" for label, value in rows)
    if refusal.coach or refusal.ask:
        path = f"{COACH_PATH}?c={refusal.coach}" if refusal.coach else refusal.ask
        text += f"\n{words('say.text_file') if refusal.coach else words('go.ask') + ':'}\n{refusal.origin}{path}\n"
    return Page(
        status=200,
        headers=(
            ("content-type", "text/plain; charset=utf-8"),
            ("content-disposition", attachment(f"{name} - blocked.txt")),
            *_COMMON,
            *headers,
        ),
        body=text.encode(),
    )


def attachment(name: str) -> str:
    """`Content-Disposition: attachment` with both spellings of the name (RFC 6266 section 5)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    extended = "".join(chr(b) if (chr(b).isalnum() and b < 128) or b in b"._-" else f"%{b:02X}" for b in name.encode())
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"


def error_page(
    status: int,
    title: str,
    message: str,
    activity_id: str,
    *,
    facts: RequestFacts | None = None,
    code: str = "error",
    headers: Iterable[tuple[str, str]] = (),
) -> Page:
    """Something else went wrong: a clear sentence and the id that leads to the log."""
    every = [("x-casb-activity", activity_id), *headers] if activity_id else list(headers)
    if facts is not None and facts.mode is not RequestMode.NAVIGATION:
        value = {"casb": code, "activity": activity_id, "title": title, "message": message}
        return json_page(status, value, headers=every)
    body = f"<p>{escape(message)}</p>" + facts_list((("Activity", activity_id),))
    return html(status, title, body, headers=every, bad=True, mark="!")


def sign_in_needed(url: str) -> Page:
    """For scripts without a session: they must not be redirected into a sign-in page."""
    return json_page(401, {"casb": "sign-in", "url": url})
