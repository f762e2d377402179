import pytest

from casb.config.deployment import endpoint, read_settings
from casb.config.notes import Notes, Outside
from casb.config.shape import CasbFile
from casb.errors import CasbError
from casb.settings import Quarantine, Settings
from casb.yamlfile import read_located


def read(text: str) -> tuple[Settings, list[str]]:
    errors: list[CasbError] = []
    shape, marks = read_located(CasbFile, text.encode(), "casb.yaml", prefix="C")
    settings = read_settings(shape, Notes(marks=marks, folder="/etc/casb", outside=Outside(), errors=errors))
    return settings, [error.code for error in errors]


def test_defaults_are_those_of_settings() -> None:
    settings, errors = read("suffix: Casb.Example.")
    plain = Settings(suffix="casb.example")
    assert errors == []
    for name in (
        "suffix",
        "version",
        "public_port",
        "listeners",
        "providers",
        "session",
        "limits",
        "sidecar",
        "on_failure",
    ):
        assert getattr(settings, name) == getattr(plain, name), name


def test_everything() -> None:
    text = """\
suffix: casb.example
public_port: 443
data: /var/lib/casb
authority: ca
listeners: {reverse: '0.0.0.0:8443', forward: null, sidecar: '[::1]:8090', health: null}
providers:
  - id: idp
    kind: entra
    authority: https://login.example/tenant/v2.0
    client_id: c
    client_secret: env:NAME
    client_certificate: client.pem
    tenants: [11111111-2222-4333-8444-555555555555]
    scopes: [User.Read]
    algorithms: [RS256, PS256]
    ca: idp.pem
    domains: [Contoso.Example]
    groups_claim: roles
    device: {compliant: [c1], hybrid_joined: [c2], signin_state: true, claims: {compliant: {ok: [true, "yes"]}}}
session: {idle: 30m, absolute: 8h, pending: 5m, code: 30s, resume_body: 2MB}
limits: {hold: 1GB, rewrite: 1MB, request_body: 10GB, upstream_idle: 30s}
sidecar:
  url: https://sidecar.example
  public_url: https://portal.example
  token: env:TOKEN
  retention_days: 30
  admins: {local: false, provider: idp, group: admins, client_id: p, client_secret: env:PORTAL}
trusted_proxies: [10.0.0.1, 2001:db8::/32]
on_failure: allow
geo_database: geo.mmdb
recovery_recipient: age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq
record_flows: flows.mitm
"""
    settings, errors = read(text)
    assert errors == []
    (idp,) = settings.providers
    assert (settings.port, settings.data, settings.authority) == (443, "/var/lib/casb", "/etc/casb/ca")
    assert (settings.listeners.forward, settings.listeners.health) == (None, None)
    assert (idp.client_certificate, idp.ca, idp.domains) == (
        "/etc/casb/client.pem",
        "/etc/casb/idp.pem",
        ("contoso.example",),
    )
    assert idp.device.claims == {"compliant": {"ok": (True, "yes")}}
    assert (settings.session.idle, settings.session.resume_body) == (1800, 2 * 1024**2)
    assert (settings.limits.hold, settings.limits.upstream_idle) == (1024**3, 30)
    assert (settings.sidecar.admins.local, settings.sidecar.retention_days) == (False, 30)
    assert settings.record_flows == "/etc/casb/flows.mitm"


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "[::1]:9000", "localhost:9000", "idp.localhost"])
def test_loopback_needs_no_encryption(host: str) -> None:
    text = f"suffix: a.example\nproviders: [{{id: x, authority: 'http://{host}', client_id: c}}]"
    assert read(text)[1] == []


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example", "[::2]", "127.0.0.1.example", "example.localhosts"])
def test_everything_else_does(host: str) -> None:
    text = f"suffix: a.example\nproviders: [{{id: x, authority: 'http://{host}', client_id: c}}]"
    assert read(text)[1] == ["C116"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:65535", ("::1", 65535)), ("A.example:80", ("a.example", 80))],
)
def test_endpoint(text: str, parts: tuple[str, int]) -> None:
    assert endpoint(text) == parts


@pytest.mark.parametrize(
    "text", ["", ":1", "a", "a:", "a:0", "a:65536", "a:1 ", "::1:1", "a b:1", "a:\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_endpoint_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        endpoint(text)


def test_an_idle_limit_above_the_absolute_default_is_told_once() -> None:
    settings, errors = read("suffix: a.example\nsession: {idle: 20h}")
    assert errors == ["C120"]
    assert settings.session.idle == settings.session.absolute
    assert read("suffix: a.example\nsession: {absolute: 10m}")[1] == [], "the default idle limit follows"


@pytest.mark.parametrize(
    ("text", "expected", "errors"),
    [
        ("", Quarantine(), []),
        ("{keep: 7d, limit: 1GB, two_people: true}", Quarantine(keep=604_800, limit=1024**3, two_people=True), []),
        ("{folder: kept}", Quarantine(folder="/etc/casb/kept"), []),
        ("{keep: 5m}", Quarantine(keep=300), ["C120"]),
        ("{limit: much}", Quarantine(), ["C102"]),
    ],
)
def test_quarantine(text: str, expected: Quarantine, errors: list[str]) -> None:
    settings, found = read(f"suffix: casb.example\nquarantine: {text}\n")
    assert found == errors
    assert settings.quarantine == expected


PROVIDER = "suffix: a.example\nproviders:\n  - {id: x, authority: 'https://login.example/%s', client_id: c%s}"
TENANT_ID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("authority", "more", "expected"),
    [
        (f"{TENANT_ID}/v2.0", ", kind: entra", []),
        ("organizations/v2.0", f", kind: entra, tenants: [{TENANT_ID}]", []),
        ("organizations/v2.0", ", kind: entra", ["C125"]),
        ("common/v2.0", ", kind: entra", ["C125"]),
        ("organizations/v2.0", ", kind: entra, tenants: [contoso]", ["C111"]),
        ("x", ", tenants: [contoso]", []),
        ("x", ", hosts: [oauth2.googleapis.com, 'idp.example:8443']", []),
        ("x", ", hosts: ['https://oauth2.googleapis.com']", ["C112"]),
        ("x", ", hosts: ['*.googleapis.com']", ["C112"]),
        ("x", ", claims: {username: [upn], organization: dept}, require: {hd: [a.example], ok: [true]}", []),
    ],
)
def test_providers(authority: str, more: str, expected: list[str]) -> None:
    assert read(PROVIDER % (authority, more))[1] == expected


def test_what_a_provider_calls_things() -> None:
    settings, errors = read(PROVIDER % ("x", ", name: X, claims: {username: [upn]}, require: {hd: [a.example, true]}"))
    (provider,) = settings.providers
    assert errors == []
    assert (provider.name, provider.claims.username, provider.claims.display_name) == ("X", ("upn",), ("name",))
    assert provider.require == {"hd": ("a.example", True)}


def test_proxy_protocol_needs_somebody_to_trust() -> None:
    text = "suffix: a.example\nlisteners: {proxy_protocol: [reverse, forward]}\n"
    assert read(text)[1] == ["C125"]
    settings, errors = read(f"{text}trusted_proxies: [10.0.0.4]\naddress_header: forwarded\nchoose_provider: ask")
    assert errors == []
    assert settings.listeners.proxy_protocol == ("reverse", "forward")
    assert (settings.address_header, settings.choose_provider) == ("forwarded", "ask")
