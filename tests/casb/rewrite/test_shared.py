"""Cookies that flattened hosts share: opened for whom they were set for, and for nobody else."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.rewrite.context import RewriteContext
from casb.rewrite.cookies import cookie, set_cookie, share
from casb.rewrite.headers import response_headers
from casb.rewrite.hosts import HostMap
from casb.rewrite.shared import Shared, opened, sealed


class PlainSeal:
    """Keeps what it sealed in a drawer, and opens it for the same purpose and binding only."""

    def __init__(self) -> None:
        self.drawer: dict[bytes, tuple[str, bytes, bytes]] = {}

    def wrap(self, purpose: str, aad: bytes, data: bytes) -> tuple[str, bytes]:
        ticket = b"ticket %d " % len(self.drawer) + b"." * len(data)
        self.drawer[ticket] = purpose, data, aad
        return "k1", ticket

    def unwrap(self, purpose: str, key_id: str, aad: bytes, blob: bytes) -> bytes:
        found = self.drawer.get(blob)
        if found is None or key_id != "k1" or (found[0], found[2]) != (purpose, aad):
            raise ContentError("F003", "not what was sealed")
        return found[1]


HOSTS = HostMap("casb.test", 443, ["www.app.example", "api.app.example", "other.example", "app.example"], flat=True)
SEAL = PlainSeal()
WWW = RewriteContext(hosts=HOSTS, host="www.app.example", user="ada", seal=SEAL)
API, APEX, OTHER = (dataclasses.replace(WWW, host=host) for host in ("api.app.example", "app.example", "other.example"))


def copy(value: bytes = b"sid=1; Domain=app.example; Path=/x; SameSite=Lax; Secure") -> bytes:
    made = share(value, WWW)
    assert made is not None
    return made


def test_what_the_browser_gets() -> None:
    fields = response_headers([(b"set-cookie", b"sid=1; Domain=app.example; Path=/x; Max-Age=9")], WWW)
    own, shared = (value for _, value in fields)
    assert own == b"sid=1; Path=/x; Max-Age=9"
    pair, _, rest = shared.partition(b"; ")
    assert pair.startswith(b"casb_d.") and b".sid=" in pair
    assert rest == b"Path=/x; Max-Age=9; Secure; HttpOnly; Domain=casb.test"


@pytest.mark.parametrize(
    ("context", "expected", "why"),
    [
        (API, b"sid=1", "another host of its domain"),
        (APEX, b"sid=1", "the domain itself"),
        (OTHER, b"", "another application"),
        (dataclasses.replace(API, user="eve"), b"", "another person's, planted"),
        (dataclasses.replace(API, seal=None), b"", "nothing to open it with"),
    ],
)
def test_whom_it_is_opened_for(context: RewriteContext, expected: bytes, why: str) -> None:
    assert cookie(copy().partition(b";")[0], context) == expected, why


def test_the_shared_one_counts_before_a_copy_that_may_be_old() -> None:
    jar = b"sid=0; a=b; " + copy().partition(b";")[0]
    assert cookie(jar, WWW) == b"a=b; sid=1"


def test_the_narrower_domain_counts() -> None:
    wide, narrow = copy(), share(b"sid=2; Domain=www.app.example", WWW)
    assert narrow is not None
    pairs = [each.partition(b";")[0] for each in (wide, narrow)]
    assert cookie(b"; ".join(pairs), WWW) == cookie(b"; ".join(reversed(pairs)), WWW) == b"sid=2"


@pytest.mark.parametrize(
    ("same_site", "crossing", "visit"),
    [(b"", b"", b"sid=1"), (b"; SameSite=Lax", b"", b"sid=1"), (b"; SameSite=Strict", b"", b""), (b"; SameSite=None", b"sid=1", b"sid=1")],
)  # fmt: skip
def test_between_applications(same_site: bytes, crossing: bytes, visit: bytes) -> None:
    pair = copy(b"sid=1; Domain=app.example" + same_site).partition(b";")[0]
    loaded = dataclasses.replace(API, crossing=True, relation="cross-site", mode="no-cors")
    assert cookie(pair, loaded) == crossing
    assert cookie(pair, dataclasses.replace(loaded, mode="navigate", destination="document")) == visit


@pytest.mark.parametrize(
    "value",
    [b"sid=1", b"sid=1; Domain=other.example", b"sid=1; Domain=example", b"=1; Domain=app.example", b"s=" + b"x" * 5000 + b"; Domain=app.example"],
)  # fmt: skip
def test_what_has_no_copy(value: bytes) -> None:
    assert share(value, WWW) is None


def test_nothing_is_shared_that_the_browser_would_refuse() -> None:
    assert set_cookie(b"casb_d.x.sid=1", WWW) is None, "ours to say"
    assert share(b"sid=1; Domain=app.example", dataclasses.replace(WWW, hosts=HostMap("casb.test", 443, ["www.app.example"]))) is None  # fmt: skip


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_as_a_sealed_copy(name: bytes, value: bytes) -> None:
    assert opened([b"casb_d." + name + b"=" + value], "www.app.example", "ada", SEAL) == {}
    pair = sealed(b"n", value, "app.example", b"l", "ada", SEAL)
    assert pair is not None and opened([pair], "app.example", "ada", SEAL) == {b"n": Shared(value, b"l")}
