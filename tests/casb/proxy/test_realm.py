from __future__ import annotations

from casb.control.pages import Page
from casb.proxy.realm import away_page, choose_page
from casb.settings import Provider

OKTA = Provider(id="okta", name="Fabrikam <Inc>")
PING = Provider(id="ping")


def text(page: Page) -> str:
    return page.body.decode()


def test_the_choice_lists_names_and_keeps_what_waits() -> None:
    page = choose_page([OKTA, PING], 'p"1', "ada@<b>.example")
    assert page.status == 200
    assert 'value="okta">Fabrikam &lt;Inc&gt;' in text(page) and 'value="ping">ping' in text(page)
    assert text(page).count('value="p&quot;1"') == 2
    assert "ada@&lt;b&gt;.example" in text(page)


def test_a_provider_that_is_away_can_be_tried_again() -> None:
    page = away_page(OKTA, {"p": "1", "provider": "okta"}, others=True, activity="01A", code="I001", text="Gone.")
    assert page.status == 503
    assert dict(page.headers)["retry-after"] == "10"
    assert "/.casb/login?p=1&amp;provider=okta" in text(page)
    assert "/.casb/login?p=1&amp;choose=1" in text(page)
    assert all(each in text(page) for each in ("Fabrikam &lt;Inc&gt;", "01A", "I001", "Gone."))
    assert "choose=1" not in text(away_page(OKTA, {"p": "1"}, others=False, activity="", code="", text=""))
