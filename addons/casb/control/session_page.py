"""The page on which a person sees what is known of their session. Pure: a record in, HTML out.

It is shown on the sign-in host alone, which runs no app's script, and never holds a claim set, a token or a cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Final

from casb.control.pages import Page, facts_list, html
from casb.model.identity import DeviceTag, Session

TAGS: Final[Mapping[str, str]] = {
    DeviceTag.COMPLIANT: "Compliant",
    DeviceTag.HYBRID_JOINED: "Hybrid joined",
    DeviceTag.CLIENT_CERTIFICATE: "Has a valid client certificate",
}
_SOURCES: Final = {
    "acrs": "your organisation's sign-in confirmed it (authentication context {})",
    "claim": "your organisation's sign-in said so (claim {})",
    "signin_state": "your organisation's sign-in said so (state {})",
    "certificate": "your browser presented a certificate ({})",
    "header": "a proxy of your organisation saw a certificate ({})",
    "inventory": "it is in your organisation's inventory ({})",
    "graph": "your organisation's directory says so ({})",
    "saml": "your organisation's sign-in said so (attribute {})",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page tells besides the session itself. Durations are seconds."""

    provider: str
    contexts: tuple[str, ...] = ()
    device_id: str = ""
    idle: int = 0
    reevaluate: int = 0
    ip: str = ""  # of this request
    token: str = ""  # one-time, for the form


def source_of(source: str) -> str:
    """Where a device tag comes from, as a sentence's end. Unknown kinds are shown as they are."""
    kind, _, detail = source.partition(":")
    return _SOURCES[kind].format(detail or kind) if kind in _SOURCES else source


def session_page(session: Session, shown: Shown, now: datetime) -> Page:
    """Who I am, on which device and why it is taken for that, until when, and the way out."""
    content = facts_list(
        (
            ("Signed in as", session.user.name),
            ("Name", session.user.display_name),
            ("By", shown.provider),
            ("Guest", "yes" if session.user.is_guest else ""),
        )
    )
    content += _device(session, shown)
    evaluated = session.evaluated or session.started
    due = evaluated + timedelta(seconds=shown.reevaluate) if shown.reevaluate else None
    content += facts_list(
        (
            ("Signed in from", session.ip),
            ("This page was asked for from", shown.ip if shown.ip != session.ip else ""),
            ("Since", _time(session.started)),
            ("Last confirmed by your organisation", _time(evaluated)),
            ("Confirmed again", _due(due, now)),
            ("Ends without use after", f"{shown.idle // 60} minutes" if shown.idle else ""),
            ("Ends at the latest", _time(session.expires)),
            *((f"Proof {context}", f"given {_time(session.proven[context])}") for context in sorted(session.proven)),
            ("Session", session.id),
        )
    )
    content += sign_out_form(shown.token)
    content += "<p><small>Your help desk finds this session in the log by the session id above.</small></p>"
    return html(200, "Your session", content, form_action="'self' https:")


def _device(session: Session, shown: Shown) -> str:
    device = session.device
    if not device.tags:
        return (
            "<h2>Your device</h2><p><b>Unmanaged.</b> Nothing at sign-in proved that your organisation manages it: "
            "no authentication context, certificate or claim that counts as such. Some files or actions may be "
            "restricted.</p>" + facts_list((("Device id", shown.device_id),))
        )
    rows = [
        f"<li><b>{escape(TAGS.get(tag, tag))}</b>: {escape(source_of(device.sources.get(tag, 'not noted')))}</li>"
        for tag in sorted(device.tags)
    ]
    return f"<h2>Your device</h2><ul>{''.join(rows)}</ul>" + facts_list((("Device id", shown.device_id),))


def sign_out_form(token: str) -> str:
    """The button; `token` is good once."""
    field = f'<input type="hidden" name="once" value="{escape(token)}">' if token else ""
    return (
        f'<form method="post" action="/.casb/sign-out">{field}<p class="row">'
        '<button class="button">Sign out everywhere</button></p></form>'
    )


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _due(due: datetime | None, now: datetime) -> str:
    if due is None:
        return ""
    minutes = int((due - now).total_seconds()) // 60
    return f"in {minutes + 1} minutes, when you open a page" if minutes >= 0 else "at the next page that you open"
