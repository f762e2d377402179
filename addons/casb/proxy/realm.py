"""The pages before a sign-in: which of several providers, and that one does not answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import urlencode

from casb.control.pages import Page, facts_list, html
from casb.settings import Provider

KEEP = (
    'const f=document.forms[0];try{if(location.hash)sessionStorage.setItem("casb."+f.elements.p.value,location.hash)}'
    "catch{}"
)


def choose_page(providers: Iterable[Provider], pending_id: str, login: str) -> Page:
    """Asks where to sign in. `login` is a user name that fits no provider, or ''."""
    buttons = "".join(
        f'<p class="row"><button class="button plain" name="provider" value="{escape(each.id)}">'
        f"{escape(each.name or each.id)}</button></p>"
        for each in providers
    )
    unknown = f"<p><b>{escape(login)}</b> is not known to belong to one of these. Choose one.</p>" if login else ""
    return html(
        200,
        "Where do you sign in?",
        f"{unknown}<p>Choose your organisation. This browser remembers it.</p>"
        '<form method="get" action="/.casb/login">'
        f'<input type="hidden" name="p" value="{escape(pending_id)}">{buttons}</form>'
        '<form method="get" action="/.casb/login">'
        f'<input type="hidden" name="p" value="{escape(pending_id)}">'
        '<p><label>Or your user name<br><input name="login_hint" type="text" autocomplete="username" '
        'maxlength="200" required></label></p><p class="row"><button class="button">Continue</button></p></form>',
        form_action="'self' https:",
        script=KEEP,
    )


def away_page(
    provider: Provider, query: Mapping[str, str], *, others: bool, activity: str, code: str, text: str
) -> Page:
    """The provider does not answer: said here, in place of a page of the browser's about a server that is gone.

    `query` asks for the same again; `others` says that another provider would do as well.
    """
    again = f"/.casb/login?{urlencode(query)}"
    other = f"/.casb/login?{urlencode({'p': query.get('p', ''), 'choose': '1'})}"
    name = escape(provider.name or provider.id)
    elsewhere = f'<a class="button plain" href="{escape(other)}">Sign in elsewhere</a>' if others else ""
    return html(
        503,
        "The sign-in service does not answer",
        f"<p>You are to be signed in by <b>{name}</b>, which does not answer at present. Nothing is wrong with your "
        "account. Those who are signed in already can go on.</p>"
        f'<p class="row"><a class="button" href="{escape(again)}">Try again</a>{elsewhere}</p>'
        + facts_list((("Activity", activity), ("Code", code), ("Reason", text))),
        headers=(("x-casb-activity", activity), ("retry-after", "10")),
        bad=True,
        mark="!",
    )
