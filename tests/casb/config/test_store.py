"""`store`, `security_events` and what stands for contexts, in casb.yaml."""

from __future__ import annotations

import pytest

from casb.config.deployment import read_settings
from casb.config.notes import Notes, Outside
from casb.config.shape import CasbFile
from casb.errors import CasbError
from casb.settings import Secret, Settings
from casb.yamlfile import read_located

SECRETS = {
    "env:DB_LOCAL": "host=127.0.0.1 dbname=casb password=s3cret",
    "env:DB_SOCKET": "host=/run/postgresql",
    "env:DB_TLS": "postgresql://casb:s3cret@db.internal/casb?sslmode=verify-full",
    "env:DB_WORDS": "host=db.internal sslmode=verify-full dbname=casb",
    "env:DB_PLAIN": "host=db.internal password=s3cret sslmode=require",
    "env:DB_ADDRESS": "postgresql://casb:s3cret@db.internal/casb",
    "env:URL": "rediss://casb:s3cret@redis.internal:6380/0",
    "env:BAD": "http://redis",
    "env:PW": "pw",
}
HEAD = "suffix: casb.example\n"
TENANTS = ", tenants: [11111111-2222-4333-8444-555555555555]"
PROVIDER = "providers: [{id: p, authority: 'https://idp.example', client_id: c, client_secret: env:PW%s}]\n"


def read(text: str) -> tuple[Settings, list[CasbError]]:
    errors: list[CasbError] = []
    shape, marks = read_located(CasbFile, (HEAD + text).encode(), "casb.yaml", prefix="C")
    outside = Outside(secret=lambda reference: SECRETS[reference])
    return read_settings(shape, Notes(marks=marks, folder="/etc/casb", outside=outside, errors=errors)), errors


def test_a_server_of_several_nodes() -> None:
    settings, errors = read(
        "store: {sessions: 'rediss://casb@redis.internal:6380/0', password: env:PW, keys: ring, prefix: one}"
    )
    assert errors == []
    store = settings.store
    assert store.sessions is not None
    assert store.sessions.reveal() == "rediss://casb@redis.internal:6380/0"
    assert (store.password, store.keys, store.prefix) == (Secret("pw"), "/etc/casb/ring", "one")
    assert read("")[0].store.sessions is None
    assert read("store: {sessions: env:URL}")[1] == []


@pytest.mark.parametrize("name", ["DB_LOCAL", "DB_SOCKET", "DB_TLS", "DB_WORDS"])
def test_a_log_that_sidecars_share(name: str) -> None:
    settings, errors = read(f"store: {{records: env:{name}, sessions: 'redis://localhost', configuration: follow}}")
    assert errors == []
    assert settings.store.records == Secret(SECRETS[f"env:{name}"])
    assert settings.store.configuration == "follow"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("store: {sessions: 'redis://redis.internal/0'}", "C116"),
        ("store: {sessions: 'http://localhost'}", "C116"),
        ("store: {sessions: 'rediss://'}", "C116"),
        ("store: {sessions: 'rediss://host:port'}", "C116"),
        ("store: {sessions: env:BAD}", "C116"),
        ("store: {sessions: 'rediss://casb:s3cret@redis.internal/0'}", "C103"),
        ("store: {sessions: 'redis://localhost', prefix: 'A B'}", "C111"),
        ("store: {password: env:PW}", "C125"),
        ("store: {configuration: follow}", "C125"),
        ("store: {records: 'host=db password=s3cret'}", "C103"),
        ("store: {records: env:DB_PLAIN}", "C116"),
        ("store: {records: env:DB_ADDRESS}", "C116"),
        ("store: {sessions: 'redis://localhost', password: pw}", "C103"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(text: str, code: str) -> None:
    _, errors = read(text)
    assert [each.code for each in errors] == [code]
    assert "s3cret" not in str(errors[0])
    assert errors[0].where is not None
    assert errors[0].where.line == 2


def test_transmitters() -> None:
    event = "security_events: [{issuer: 'https://t', jwks: 'https://t/keys', audience: casb, provider: %s}]"
    settings, errors = read(PROVIDER % "" + event % "p")
    assert errors == []
    assert (settings.security_events[0].provider, settings.security_events[0].token) == ("p", None)
    assert [each.code for each in read(PROVIDER % "" + event % "q")[1]] == ["C110"]
    twice = (PROVIDER % "" + event % "p").replace(
        "[{iss", "[{issuer: 'https://t', jwks: 'http://x', audience: '', provider: p}, {iss"
    )
    assert sorted(each.code for each in read(twice)[1]) == ["C109", "C116", "C125"]


def test_what_stands_for_a_context() -> None:
    settings, errors = read(PROVIDER % ", contexts: {c1: {acr: [phr], max_age: 5m}}")
    assert errors == []
    rule = settings.providers[0].contexts["c1"]
    assert (rule.acr, rule.max_age) == (("phr",), 300)
    assert [each.code for each in read(PROVIDER % ", contexts: {c1: {}}")[1]] == ["C125"]
    assert [each.code for each in read(PROVIDER % ", contexts: {strong: {acr: [a]}}")[1]] == ["C111"]
    assert [each.code for each in read(PROVIDER % (TENANTS + ", kind: entra, contexts: {c1: {acr: [a]}}"))[1]] == [
        "C125"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{}", (900, 300)), ("{reevaluate: never}", (0, 300)), ("{reevaluate: 5m, grace: 1m}", (300, 60))],
)
def test_how_often_the_provider_is_asked(text: str, expected: tuple[int, int]) -> None:
    settings, errors = read(f"session: {text}")
    assert errors == []
    assert (settings.session.reevaluate, settings.session.grace) == expected
