"""What a person sees of an app that is not sanctioned: the refusal, or the warning with its way on. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from casb.catalog.factors import CATEGORIES
from casb.control.pages import Page, facts_list, html, json_page
from casb.model.activity import RequestFacts, RequestMode

CONTINUE = "/.casb/continue"
"""Where the warning's button posts to, on the app's own host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a page is made from. `alternatives` are names of sanctioned apps, each with its address where it has one."""

    app: str
    host: str
    activity_id: str
    facts: RequestFacts | None
    category: str = ""
    score: int | None = None
    user: str = ""
    alternatives: tuple[tuple[str, str], ...] = ()
    help: str = ""


def blocked_page(notice: Notice) -> Page:
    """403: the app is unsanctioned."""
    why = f"Your organisation has marked {notice.app} as unsanctioned, so it cannot be reached from here."
    return _answer(notice, "blocked", f"{notice.app} is blocked", why, "")


def warned_page(notice: Notice, *, token: str, path: str, hours: str) -> Page:
    """403 with a button: the app is monitored. `token` is proof of having been warned, `path` where to go on to."""
    why = (
        f"Your organisation is watching the use of {notice.app} and asks you to think before you go on. "
        "Do not put confidential data there."
    )
    target = f"{CONTINUE}?t={quote(token, safe='')}&to={quote(path, safe='')}"
    way = (
        f'<form method=post action="{escape(target)}"><div class=row>'
        f"<button class=button type=submit>Continue to {escape(notice.app)}</button></div></form>"
        f"<p><small>Going on is recorded and opens the application for {escape(hours)}.</small></p>"
    )
    return _answer(notice, "warned", f"{notice.app} is not approved yet", why, way)


def _answer(notice: Notice, code: str, title: str, why: str, way: str) -> Page:
    headers = (("x-casb-activity", notice.activity_id),)
    facts = notice.facts
    if facts is None or facts.mode is not RequestMode.NAVIGATION:
        value = {
            "casb": code,
            "activity": notice.activity_id,
            "title": title,
            "message": why,
            "alternatives": [name for name, _ in notice.alternatives],
        }
        return json_page(403, value, headers=headers)
    category = CATEGORIES.get(notice.category)
    content = f"<p>{escape(why)}</p>{_alternatives(notice.alternatives)}{_help(notice.help)}{way}" + facts_list(
        (
            ("Application", notice.app),
            ("Category", category or ""),
            ("Risk score", "" if notice.score is None else f"{notice.score} (0 to 10, 10 is safest)"),
            ("Address", notice.host),
            ("Signed in as", notice.user),
            ("Activity", notice.activity_id),
        )
    )
    content += "<p><small>Tell your help desk the activity id: it leads to this very decision.</small></p>"
    return html(403, title, content, headers=headers, bad=code == "blocked", mark="!")


def _alternatives(alternatives: Iterable[tuple[str, str]]) -> str:
    items = "".join(
        f'<li><a href="{escape(address)}" rel=noreferrer>{escape(name)}</a></li>'
        if address
        else f"<li>{escape(name)}</li>"
        for name, address in alternatives
    )
    return f"<p>Approved for the same purpose:</p><ul>{items}</ul>" if items else ""


def _help(address: str) -> str:
    if not address:
        return ""
    return f'<p><a href="{escape(address)}" rel=noreferrer>What your organisation says about this</a></p>'


def hours_of(seconds: int) -> str:
    """A span in words.

    >>> hours_of(86400), hours_of(5400)
    ('24 hours', '90 minutes')
    """
    if seconds % 3600 == 0:
        hours = seconds // 3600
        return f"{hours} hour{'s' if hours > 1 else ''}"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
