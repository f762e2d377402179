"""The pages and texts a user sees when we answer instead of the app. Pure: values in, bytes and headers out.

Every page stands alone: no script, no foreign host, one inline style allowed by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from casb.model.activity import RequestFacts, RequestMode
from casb.model.decision import Decision

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
.row{display:flex;gap:12px;flex-wrap:wrap;margin-top:22px}
.button{display:inline-block;border:1px solid var(--accent);background:var(--accent);color:#fff;
border-radius:8px;padding:9px 18px;font:inherit;text-decoration:none;cursor:pointer}
.button.plain{background:none;color:var(--accent)}
ul{padding-left:20px}
input[type=file]{display:block;width:100%;padding:18px;border:2px dashed var(--line);border-radius:10px;margin:16px 0}
small{color:var(--soft)}
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
    ancestors: str = "'none'",
) -> Page:
    """A page around `content`, which is HTML already escaped by the caller. `script` is ours alone, allowed by hash;
    `connect` are the CSP sources that it may send to; `ancestors` those that may frame the page."""
    body = (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
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


def message_of(refusal: Refusal) -> str:
    """The sentence that explains it: the policy's own message, or one of ours."""
    if refusal.decision.message:
        return refusal.decision.message
    if refusal.decision.default_behaviour:
        return "Your organisation's session control could not examine this request, so it was not carried out."
    what = "Downloading this file" if refusal.is_download else "This action"
    if refusal.is_logon:
        what = f"Opening {refusal.app_name}"
    if refusal.decision.action.word == "step_up":
        return f"{what} needs a stronger sign-in first."
    return f"{what} is not allowed by your organisation's policy."


def notice(refusal: Refusal) -> dict[str, str]:
    """What the dialog in the page shows."""
    return {
        "kind": "step-up" if refusal.decision.action.word == "step_up" else "block",
        "title": title_of(refusal),
        "message": message_of(refusal),
        "file": refusal.file_name,
        "app": refusal.app_name,
        "policy": refusal.decision.policy or "",
        "activity": refusal.activity_id,
    }


def title_of(refusal: Refusal) -> str:
    """A few words."""
    if refusal.is_logon:
        return f"Access to {refusal.app_name} was refused"
    if refusal.is_download:
        return "Download blocked"
    return "Action blocked"


def refusal_page(refusal: Refusal, *, shown: bool = False) -> Page:
    """The answer in the form that its reader can use: page, text file in place of the file, or JSON. `shown`: a page of
    ours is open, which the answer replaces."""
    headers = [("x-casb-activity", refusal.activity_id)]
    facts = refusal.facts
    mode = facts.mode if facts else RequestMode.OTHER
    message = message_of(refusal)
    if mode is RequestMode.NAVIGATION and refusal.is_download and not shown:
        return _text_file(refusal, headers)
    if mode is RequestMode.NAVIGATION:
        body = f"<p>{escape(message)}</p>" + facts_list(
            (
                ("Application", refusal.app_name),
                ("File", refusal.file_name),
                ("Signed in as", refusal.user_name),
                ("Policy", refusal.decision.policy or ""),
                ("Activity", refusal.activity_id),
            )
        )
        body += "<p><small>Tell your help desk the activity id: it leads to this very decision.</small></p>"
        return html(403, title_of(refusal), body, headers=headers, bad=True, mark="!")
    value = {
        "casb": "blocked" if refusal.decision.action.word != "step_up" else "step-up",
        "activity": refusal.activity_id,
        "message": message,
        "policy": refusal.decision.policy,
        "title": title_of(refusal),
        "file": refusal.file_name,
    }
    return json_page(403, value, headers=headers)


def _text_file(refusal: Refusal, headers: list[tuple[str, str]]) -> Page:
    """A text file in place of the file. 200, because browsers drop the body of a failed download."""
    name = refusal.file_name or "download"
    text = (
        f"{title_of(refusal)}\n\n{message_of(refusal)}\n\nFile:        {name}\nApplication: {refusal.app_name}\n"
        f"User:        {refusal.user_name}\nPolicy:      {refusal.decision.policy or '-'}\n"
        f"Activity:    {refusal.activity_id}\n"
    )
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
