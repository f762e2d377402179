"""Un-steered sessions (S30): whom no session policy could concern works at the application's own host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wire_world import WIKI, Site, site

POLICY = """\
version: 1
policies:
  - id: watch-mallory
    activities: download
    when: {user: {name: mallory@contoso.example}}
    action: block
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("steering")
    with site(folder, policies=POLICY, start=False) as made:
        app = made.proxy.config / "apps" / "wiki.yaml"
        app.write_text(app.read_text() + "always_proxied: false\n")
        made.wiki.page("/deep", b"<html>the wiki</html>", content_type="text/html")
        made.proxy.start()
        yield made


@pytest.mark.parametrize(
    ("name", "steered", "why"),
    [
        ("ada@contoso.example", False, "no policy could concern her"),
        ("mallory@contoso.example", True, "a policy waits for his downloads"),
    ],
)
def test_who_is_steered(here: Site, name: str, steered: bool, why: str) -> None:
    here.idp.claims = {"preferred_username": name, "sub": f"sub-of-{name}"}
    browser = here.browser()
    answer = browser.follow(browser.send(here.url("/deep?q=1", WIKI)), until=f"https://{WIKI}/")
    if steered:
        assert "the wiki" in answer.text, why
    else:
        assert answer.headers["location"] == f"https://{WIKI}/deep?q=1", why
        assert "the wiki" not in answer.text
    logons = [each for each in here.proxy.records() if each["activity"] == "logon" and each["user"]["name"] == name]
    told = {"provider": "test"} | ({} if steered else {"steered": False})
    assert [each["extra"] for each in logons] == [told], why
