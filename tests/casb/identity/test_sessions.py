from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.identity import sessions
from casb.identity.sessions import (
    ChildRecord,
    Flow,
    HandOffCode,
    LoginRecord,
    PendingRequest,
    Resume,
    clear_cookie,
    cookie,
    dump,
    is_id,
    is_ours,
    is_safe_path,
    key_of,
    load,
    remaining,
    renewed,
    same_secret,
    set_cookie,
    without_ours,
)
from casb.model.identity import Device, DeviceTag, DeviceType, User

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = secrets.token_urlsafe(32)
USER = User(id="t/o", name="ada@c.example", groups=frozenset({"b", "a"}), groups_known=False, is_guest=True, tenant="t")
DEVICE = Device(
    tags=frozenset({DeviceTag.COMPLIANT, DeviceTag.CLIENT_CERTIFICATE}),
    id="d1",
    type=DeviceType.MOBILE,
    os="Android",
    sources={"compliant": "acrs:c1"},
)
LOGIN = LoginRecord(
    id="log-id",
    provider="entra",
    user=USER,
    device=DEVICE,
    started=NOW,
    expires=NOW + timedelta(hours=10),
    contexts=frozenset({"c1", "c2"}),
    auth_time=NOW - timedelta(minutes=1),
    idp_session="sid",
    issuer="https://op.example",
    subject="sub",
    ip="192.0.2.1",
    agent="digest",
    key="thumbprint",
)
PENDING = PendingRequest(
    host="a.casb.test",
    path="/x?y=1",
    bind="00",
    app="files",
    provider="entra",
    method="POST",
    body=b"\x00\xffbinary",
    content_type="multipart/form-data; boundary=x",
    contexts=("c2",),
    fragment="top",
)
RECORDS: list[Any] = [
    LOGIN,
    replace(LOGIN, auth_time=None, device=Device()),
    PENDING,
    replace(PENDING, body=None, body_lost=True, contexts=()),
    ChildRecord(login="00ff", host="a.casb.test", app="files"),
    Flow(
        provider="entra", bind="00", state={"state": "s", "scope": ["openid"]}, pending=ID, contexts=("c1",), max_age=5
    ),
    HandOffCode(login="00", host="a.casb.test", bind="00", pending=ID),
    Resume(session="s", host="a", path="/", method="POST", content_type="text/plain", body=b"\x00\xff"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda each: type(each).__name__)
def test_records_come_back_as_they_were(record: Any) -> None:
    assert load(type(record), dump(record)) == record


KINDS: list[Any] = [LoginRecord, PendingRequest, ChildRecord, Flow, HandOffCode, Resume]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=60) | st.sampled_from([dump(each) for each in RECORDS] + [b"{}", b"[]", b"null", b"1"]))
@settings(max_examples=40, deadline=None)
def test_any_bytes_are_a_record_or_refused(kind: Any, data: bytes) -> None:
    try:
        assert isinstance(load(kind, data), kind)
    except StoreError as error:
        assert error.code == "S052"


def test_an_unsafe_path_cannot_come_out_of_a_store() -> None:
    with pytest.raises(StoreError):
        load(PendingRequest, dump(PENDING).replace(b"/x?y=1", b"//x?y=1"))


def test_secrets_are_not_in_the_representation() -> None:
    for record in RECORDS:
        assert ID not in repr(record)
        assert "xff" not in repr(record)


def test_a_session_says_what_the_login_knows() -> None:
    session = LOGIN.session()
    assert (session.id, session.user, session.device, session.auth_contexts) == ("log-id", USER, DEVICE, LOGIN.contexts)
    assert (session.started, session.expires, session.ip) == (LOGIN.started, LOGIN.expires, "192.0.2.1")


def test_renewal_replaces_all_that_was_said_and_keeps_the_lifetime() -> None:
    fresh = replace(
        LOGIN,
        id="other",
        started=NOW + timedelta(hours=1),
        expires=NOW + timedelta(hours=11),
        contexts=frozenset({"c3"}),
        user=replace(USER, groups=frozenset()),
        device=Device(),
    )
    kept = renewed(LOGIN, fresh)
    assert (kept.id, kept.started, kept.expires) == (LOGIN.id, LOGIN.started, LOGIN.expires)
    assert (kept.contexts, kept.user.groups, kept.device) == (frozenset({"c3"}), frozenset(), Device())


@pytest.mark.parametrize(
    ("left", "idle", "expected"), [(7200, 3600, 3600), (60, 3600, 60), (0, 3600, 0), (-5, 3600, 0), (10**6, 1, 1)]
)
def test_remaining(left: float, idle: float, expected: float) -> None:
    assert remaining(NOW, NOW + timedelta(seconds=left), idle) == expected


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, "", "x", ID + "x", ID[:-1], ID[:-1] + "=", ID[:-1] + "+", ID[:-1] + "é", ID + "\n", " " + ID[1:]]
)
def test_what_is_no_id(value: str | None) -> None:
    assert not is_id(value)
    assert not same_secret(value, key_of(value or "").hex())


def test_ids_and_their_digests() -> None:
    assert is_id(ID)
    assert same_secret(ID, key_of(ID).hex())
    assert not same_secret(secrets.token_urlsafe(32), key_of(ID).hex())
    assert len(key_of(ID)) == 32
    assert key_of("é")


# --- paths ------------------------------------------------------------------------------------------------------------

SAFE = [
    "/",
    "/a",
    "/a/b?c=d&e=%2F%2Fx",
    "/a//b",
    "/?next=//evil.example",
    "/?next=https://evil.example/",
    "/.casb/x",
    "/~a;b=c,d!$&'()*+@:",
    "/%2F%2Fevil.example",
    "/%5Cevil.example",
    "/a[0]",
    "/{}|^`",
    "/../x",
    "/.",
    "/#a",
]
UNSAFE = [
    "",
    "a",
    "//evil.example",
    "//evil.example/",
    "///evil.example",
    "////evil.example",
    "//\\evil.example",
    "/\\evil.example",
    "/\\/evil.example",
    "/\\\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "\\evil.example",
    "//evil.example\\@ours.example",
    "//ours.example@evil.example",
    "//user:pass@evil.example",
    "//[::1]/",
    "//127.0.0.1",
    "//2130706433",
    "//0x7f000001",
    "//evil%E3%80%82example",
    "//evil。example",
    "http://evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "HTTPS://evil.example",
    "hTTp:\\\\evil.example",
    "http:evil.example",
    "ftp://evil.example",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:x",
    "about:blank",
    "mailto:a@b",
    "@evil.example",
    ".evil.example",
    "?x",
    "#x",
    " //evil.example",
    "\t//evil.example",
    "\n//evil.example",
    "\r//evil.example",
    "\x0b//evil.example",
    "\x0c//evil.example",
    "\x00//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\r\n/evil.example",
    "/\x0b/evil.example",
    "/\x0c/evil.example",
    "/\x00/evil.example",
    "/ /evil.example",
    "/\x7f/evil.example",
    "/\x85/evil.example",
    "/\xa0/evil.example",
    "/\u2028/evil.example",
    "/\u3000/evil.example",
    "/\u200b/evil.example",
    "/\ufeff/evil.example",
    "/\u2044evil.example",
    "/\uff0fevil.example",
    "/\u2215evil.example",
    "/a\\b",
    "/a b",
    "/a\r\nSet-Cookie: x=y",
    "/a\nLocation: https://evil.example",
    "/é",
    "/\ud800",
    "/a\x00",
    "/" + "a" * 8192,
]


@pytest.mark.parametrize("path", SAFE)
def test_safe_paths(path: str) -> None:
    assert is_safe_path(path)
    assert urlsplit(urljoin("https://ours.example", path)).netloc == "ours.example"
    if "#" not in path:
        assert PendingRequest(host="a", path=path, bind="").target == path


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths(path: str) -> None:
    assert not is_safe_path(path)
    with pytest.raises(ValueError, match="safe"):
        PendingRequest(host="a", path=path, bind="")


def test_there_are_enough_of_them() -> None:
    assert len(set(UNSAFE)) >= 60


@given(st.text(alphabet=st.characters(max_codepoint=0x3100), max_size=12).map(lambda text: "/" + text))
@settings(max_examples=300, deadline=None)
def test_a_safe_path_stays_on_its_host(path: str) -> None:
    if is_safe_path(path):
        # As a browser reads it: backslashes are slashes, and tabs and line ends are dropped (WHATWG URL).
        seen = path.replace("\\", "/").replace("\t", "").replace("\n", "").replace("\r", "")
        assert urlsplit(urljoin("https://ours.example", seen)).netloc == "ours.example"
        assert path.isascii()
        assert path.isprintable()


@pytest.mark.parametrize(("change"), [{"fragment": "a\nb"}, {"fragment": "é"}, {"method": "get"}, {"method": "A B"}])
def test_other_parts_of_a_pending_request(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="safe"):
        replace(PENDING, **change)


def test_target() -> None:
    assert PENDING.target == "/x?y=1#top"
    assert replace(PENDING, fragment="").target == "/x?y=1"


# --- cookies ----------------------------------------------------------------------------------------------------------

S = sessions.SESSION_COOKIE


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("", None),
        (f"{S}={ID}", ID),
        (f"a=b; {S}={ID}; c=d", ID),
        (f"a=b;{S}={ID};c=d", ID),
        (f"{S}={ID}; {S}={ID}", None),
        (f"{S}={ID}; {S}=x", None),
        (f"{S}=x; {S}={ID}", None),
        (f"{S}={ID}; a={S}={ID}", ID),
        (f"{S.lower()}={ID}", None),
        (f"{S.upper()}={ID}", None),
        (f"casb_s={ID}", None),
        (f"__Host-casb_s2={ID}", None),
        (f"x{S}={ID}", None),
        (f"{S} ={ID}", None),
        (f"{S}= {ID}", None),
        (f'{S}="{ID}"', None),
        (f"{S}={ID[:-1]}", None),
        (f"{S}={ID}x", None),
        (f"{S}", None),
        (f"{S}=", None),
        (f"{S}={ID}" + "; a=b" * 200, ID),
        (f"a={'x' * 5000}; {S}={ID}", ID),
        (f"{S}={'x' * 5000}", None),
        (f"a={ID}?{S}={ID}", None),
        (f"{S}={ID}, {S}={ID}", None),
    ],
)
def test_exactly_one_cookie(header: str | None, found: str | None) -> None:
    assert cookie(header, S) == found


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("", ""),
        ("a=b", "a=b"),
        ('a=b; c="d e"; f', 'a=b; c="d e"; f'),
        (f"{S}={ID}", ""),
        (f"{S}={ID}; a=b", "a=b"),
        (f"a=b; {S}={ID}", "a=b"),
        (f"a=b; {S}={ID}; c=d", "a=b; c=d"),
        (f"a=b;{S}={ID};c=d", "a=b;c=d"),
        (f"{S}={ID}; __Host-casb_p=x; __Host-casb_new=1; a=b", "a=b"),
        (f"__HOST-CASB_S={ID}; __host-casb_s={ID}; a=b", "a=b"),
        (f"{S}; a=b", "a=b"),
        (f"\t{S} = {ID}; a=b", "a=b"),
        (f"a={S}", f"a={S}"),
        ("__Host-other=1; __Secure-casb_s=2", "__Host-other=1; __Secure-casb_s=2"),
    ],
)
def test_the_app_never_sees_our_cookies(header: str, left: str) -> None:
    assert without_ours(header) == left


@given(st.lists(st.sampled_from(["a=b", f"{S}={ID}", "__host-CASB_x=1", "c=", "=", "", " d = e", '"']), max_size=8))
def test_nothing_of_ours_survives_and_nothing_else_is_lost(parts: list[str]) -> None:
    left = without_ours(";".join(parts))
    assert "casb" not in left.lower()
    kept = [part.strip() for part in parts if "casb" not in part.lower()]
    assert [part.strip() for part in left.split(";") if part.strip()] == [part for part in kept if part]


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        (f"{S}=x; Path=/", True),
        (" __host-CASB_anything=x", True),
        ("\t__Host-casb_s", True),
        ("casb_s=x", False),
        ("__Host-other=x", False),
        ("a=__Host-casb_s", False),
    ],
)
def test_apps_may_not_set_our_cookies(header: str, ours: bool) -> None:
    assert is_ours(header) is ours


def test_set_cookie() -> None:
    assert set_cookie(S, ID) == f"{S}={ID}; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert set_cookie(S, ID, max_age=600, same_site="None").endswith("; SameSite=None; Max-Age=600")
    assert clear_cookie(S) == f"{S}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    for each in (sessions.SESSION_COOKIE, sessions.LOGIN_COOKIE, sessions.FLOW_COOKIE, sessions.PENDING_COOKIE):
        assert each.startswith("__Host-casb_")
        assert "Domain" not in set_cookie(each, ID)


@pytest.mark.parametrize("value", ["", "a; Domain=evil", ID + "\r\nX: y", ID[:-1] + ";"])
def test_set_cookie_takes_ids_only(value: str) -> None:
    with pytest.raises(ValueError, match="id"):
        set_cookie(S, value)
