"""A person at the portal: signs in, reads pages, sends the forms that are on them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx

from asgi_client import Client

PASSWORD = "correct horse battery"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Page(HTMLParser):
    """The tags of a page; well-formed enough that every tag that needs closing is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)
        if self.open:
            raise AssertionError(f"not closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "input", "img", "br", "option"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag == "option":
            return
        if not self.open or self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes nothing")


def csrf_in(page: httpx.Response) -> str:
    """The form token on a page."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


def set_up(client: Client, code: str, name: str = "grace", password: str = PASSWORD) -> httpx.Response:
    """Make the first admin, as a person does."""
    page = client.get("/set-up")
    form = {"csrf": csrf_in(page), "code": code, "name": name, "password": password, "again": password}
    return client.post("/set-up", data=form)


def sign_in(client: Client, name: str = "grace", password: str = PASSWORD, path: str = "/") -> httpx.Response:
    """Sign in with a local account."""
    page = client.get("/sign-in", params={"next": path})
    return client.post("/sign-in", data={"csrf": csrf_in(page), "name": name, "password": password, "next": path})
