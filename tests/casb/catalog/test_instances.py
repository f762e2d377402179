"""Which instance of an app a request is for: by host, header, cookie and token, and never by what could be doubted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.instances import claims_of, cookies_of, instance_of
from casb.model.app import App, Instance


def token(claims: Any, *, scheme: str = "Bearer") -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{scheme} e30.{payload}.c2ln"


def asked(host: str, headers: dict[str, str], *instances: Instance) -> str | None:
    app = App(id="box", name="Box", domains=("box.example",), instances=instances)
    return instance_of(app, host, headers.get)


OURS = Instance(name="corporate", claims={"tid": ("72F988BF",)})
OTHERS = Instance(name="personal", claims={"tid": ("*",)})
CONTOSO = Instance(name="corporate", hosts=("contoso.box.example", "contoso-*.box.example"))
TEAM = Instance(name="team", cookies={"workspace": ("T0123",)}, headers={"x-team": ("eng*",)})
AUDIENCE = Instance(name="api", claims={"aud": ("api://casb",)})

TABLE: list[tuple[str, str, dict[str, str], tuple[Instance, ...], str | None]] = [
    ("our tenant", "box.example", {"authorization": token({"tid": "72f988bf"})}, (OURS, OTHERS), "corporate"),
    ("another tenant", "box.example", {"authorization": token({"tid": "9188040d"})}, (OURS, OTHERS), "personal"),
    ("no token", "box.example", {}, (OURS, OTHERS), None),
    ("a token without the claim", "box.example", {"authorization": token({})}, (OURS, OTHERS), None),
    ("not a bearer token", "box.example", {"authorization": token({"tid": "x"}, scheme="Basic")}, (OURS, OTHERS), None),
    ("an opaque token", "box.example", {"authorization": "Bearer abcdef"}, (OURS, OTHERS), None),
    ("claims that are a list", "box.example", {"authorization": token([1])}, (OURS, OTHERS), None),
    ("one of several audiences", "h", {"authorization": token({"aud": ["x", "api://casb"]})}, (AUDIENCE,), "api"),
    ("by host", "Contoso.box.example", {}, (CONTOSO,), "corporate"),
    ("by host with a wildcard", "contoso-my.box.example", {}, (CONTOSO,), "corporate"),
    ("another host", "fabrikam.box.example", {}, (CONTOSO,), None),
    ("header and cookie", "h", {"cookie": "a=b; workspace=t0123", "x-team": "Engineering"}, (TEAM,), "team"),
    ("the cookie alone", "h", {"cookie": "workspace=T0123"}, (TEAM,), None),
    ("a cookie told twice", "h", {"cookie": "workspace=T0123; workspace=T9", "x-team": "eng"}, (TEAM,), None),
    ("the first that fits counts", "contoso.box.example", {}, (Instance(name="any", hosts=("*",)), CONTOSO), "any"),
    ("brackets are no wildcard", "a", {"x": "b"}, (Instance(name="i", headers={"x": ("[b]",)}),), None),
    ("nothing said", "h", {"authorization": token({"tid": "x"})}, (), None),
]


@pytest.mark.parametrize(("reason", "host", "headers", "instances", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_instances(
    reason: str, host: str, headers: dict[str, str], instances: tuple[Instance, ...], expected: str | None
) -> None:
    assert asked(host, headers, *instances) == expected


def test_only_what_is_needed_is_read() -> None:
    read: list[str] = []
    app = App(id="a", name="A", domains=("a.example",), instances=(CONTOSO,))
    instance_of(app, "a.example", lambda name: read.append(name))
    assert read == []


@given(st.text())
def test_any_header_is_read(text: str) -> None:
    assert isinstance(claims_of(text), dict) and isinstance(claims_of(f"Bearer {text}.{text}.{text}"), dict)
    assert all(isinstance(value, str) for value in cookies_of(text).values())


def test_a_long_token_is_not_read() -> None:
    assert claims_of(token({"tid": "x" * 20_000})) == {}
