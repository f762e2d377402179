"""Tokens and accounts: admins change them, viewers do not, and every change is in the audit log."""

from __future__ import annotations

import re

import pytest

from asgi_client import Client
from casb.sidecar.services import Services
from portal_user import PASSWORD, csrf_in, sign_in

WORD = "another long password"


def post(client: Client, path: str, **form: str) -> tuple[int, str]:
    csrf = csrf_in(client.get("/access"))
    response = client.post(f"/access{path}", data={"csrf": csrf, **form}, headers={"accept": "text/html"})
    return response.status_code, response.text


def test_a_token_is_shown_once_works_and_can_be_revoked(grace: Client, services: Services) -> None:
    status, text = post(grace, "/tokens", label="SIEM")
    assert status == 200
    found = re.search(r"casb_[A-Za-z0-9_-]{43}", text)
    assert found
    headers = {"Authorization": f"Bearer {found[0]}"}
    grace_cookie = grace.cookies["casb_admin"]
    assert found[0] not in grace.get("/access").text
    grace.cookies.clear()
    assert grace.get("/v1/apps", headers=headers).status_code == 200
    grace.cookies.set("casb_admin", grace_cookie, domain="127.0.0.1")
    assert post(grace, "/tokens/revoke", id=services.portal.tokens()[0].id)[0] == 303
    grace.cookies.clear()
    assert grace.get("/v1/apps", headers=headers).status_code == 401
    said = [each.what for each in services.portal.audit()]
    assert said[:2] == ["read token revoked", "read token made"]
    assert found[0] not in str(services.portal.audit())


def test_a_token_needs_a_label(grace: Client) -> None:
    assert post(grace, "/tokens", label=" ")[0] == 422


def test_accounts(grace: Client, services: Services) -> None:
    assert post(grace, "/accounts", name="vic", role="viewer", password=WORD, again=WORD)[0] == 303
    assert post(grace, "/accounts", name="vic", role="viewer", password=WORD, again=WORD)[0] == 409
    assert post(grace, "/accounts", name="eve", role="root", password=WORD, again=WORD)[0] == 422
    assert post(grace, "/accounts", name="eve", role="admin", password="short", again="short")[0] == 422
    assert post(grace, "/accounts/remove", name="grace")[0] == 409
    assert post(grace, "/accounts/remove", name="vic")[0] == 303
    assert [each.name for each in services.portal.accounts()] == ["grace"]


@pytest.mark.parametrize("path", ["/tokens", "/tokens/revoke", "/accounts", "/accounts/remove"])
def test_viewers_change_nothing(grace: Client, services: Services, path: str) -> None:
    post(grace, "/accounts", name="vic", role="viewer", password=WORD, again=WORD)
    grace.cookies.clear()
    sign_in(grace, "vic", WORD)
    before = len(services.portal.audit())
    assert post(grace, path, label="x", name="grace", id="x", role="admin", password=WORD, again=WORD)[0] == 403
    assert len(services.portal.audit()) == before


def test_one_changes_ones_own_password(grace: Client) -> None:
    assert post(grace, "/password", present="wrong", password=WORD, again=WORD)[0] == 422
    assert post(grace, "/password", present=PASSWORD, password=WORD, again="other")[0] == 422
    assert post(grace, "/password", present=PASSWORD, password="short", again="short")[0] == 422
    assert post(grace, "/password", present=PASSWORD, password=WORD, again=WORD)[0] == 303
    assert grace.get("/").status_code == 303  # every session of the account has ended
    assert sign_in(grace).status_code == 401
    assert sign_in(grace, password=WORD).status_code == 303
