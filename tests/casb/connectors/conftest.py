"""A provider inside the process, which answers what a test tells it to: no real one issues bad tokens."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from requests.adapters import BaseAdapter
from urllib3.response import HTTPResponse

from casb.connectors.fetch import Fetcher
from casb.connectors.oidc import OidcProvider
from casb.settings import DeviceRules, Provider, Secret

TENANT = "11111111-2222-4333-8444-555555555555"
CLIENT = "client-1"
BASE = f"https://idp.test/{TENANT}/v2.0"


@dataclass
class Now:
    """A clock that stands until it is moved; as a call it gives the present, `seconds` the monotonic time."""

    present: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    seconds: float = 1000.0

    def __call__(self) -> datetime:
        return self.present

    def monotonic(self) -> float:
        return self.seconds

    def epoch_seconds(self) -> float:
        return self.present.timestamp()

    def forward(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Hostile(BaseAdapter):
    """The wire: discovery, keys and token endpoint. `claims` and `answers` are what a test bends."""

    now: Now
    key: rsa.RSAPrivateKey
    claims: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Callable[[], tuple[int, Any]]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    kid: str = "key-1"
    nonce: str = ""
    mint: Callable[[dict[str, Any]], str] | None = None
    down: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def jwk(self, kid: str = "key-1") -> dict[str, Any]:
        return RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        return jwt.encode(dict(claims), self.key, "RS256", headers={"kid": self.kid, **headers})

    def id_claims(self) -> dict[str, Any]:
        present = int(self.now.present.timestamp())
        return {
            "iss": BASE,
            "aud": CLIENT,
            "sub": "pairwise-ada",
            "tid": TENANT,
            "oid": "oid-ada",
            "nonce": self.nonce,
            "iat": present,
            "nbf": present,
            "exp": present + 3600,
            "preferred_username": "Ada@Contoso.example",
            "name": "Ada",
            "groups": ["finance"],
            "sid": "idp-session-1",
            "acrs": ["c1"],
            **self.claims,
        }

    def arrive(self, url: str, **more: str) -> dict[str, str]:
        """What the browser brings back from the authorization endpoint."""
        query = parse_qs(urlsplit(url).query)
        self.nonce = query["nonce"][0]
        return {"code": "code-1", "state": query["state"][0], **more}

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # the options do not matter
        assert request.url is not None
        path = urlsplit(request.url).path
        self.seen.append(path)
        if self.down:
            raise requests.ConnectionError("refused")
        status, body = self._answer(path.rpartition("/")[2])
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = requests.Response()
        response.status_code = status
        response.url = request.url
        response.raw = HTTPResponse(body=io.BytesIO(data), status=status, preload_content=False)
        return response

    def _answer(self, name: str) -> tuple[int, Any]:
        if name in self.answers:
            return self.answers[name]()
        if name == "openid-configuration":
            return 200, {
                "issuer": BASE,
                "authorization_endpoint": "https://idp.test/authorize",
                "token_endpoint": f"https://idp.test/{TENANT}/oauth2/v2.0/token",
                "jwks_uri": "https://idp.test/keys",
                "end_session_endpoint": "https://idp.test/logout",
                **self.metadata,
            }
        if name == "keys":
            return 200, {"keys": [self.jwk(self.kid)]}
        assert name == "token", name
        token = (self.mint or self.sign)(self.id_claims())
        info = base64.urlsafe_b64encode(b'{"uid":"oid-ada","utid":"t"}').decode().rstrip("=")
        return 200, {"id_token": token, "access_token": "at", "token_type": "Bearer", "client_info": info}

    def close(self) -> None:
        """Nothing to let go."""


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def idp(now: Now, rsa_key: rsa.RSAPrivateKey) -> Hostile:
    return Hostile(now=now, key=rsa_key)


@pytest.fixture
def make_provider(now: Now, idp: Hostile) -> Callable[..., OidcProvider]:
    def make(**changes: Any) -> OidcProvider:
        settings: dict[str, Any] = {
            "id": "entra",
            "kind": "entra",
            "authority": BASE,
            "client_id": CLIENT,
            "client_secret": Secret("a-secret"),
            "domains": ("contoso.example",),
            "device": DeviceRules(compliant=("c1",)),
        }
        hosts = ["idp.test", urlsplit((settings | changes)["authority"]).netloc]
        fetcher = Fetcher(hosts, monotonic=now.monotonic)
        fetcher.session.mount("https://", idp)
        return OidcProvider(
            Provider(**(settings | changes)),
            redirect_uri="https://login.casb.test/.casb/oidc/callback",
            clock=now,
            fetcher=fetcher,
            monotonic=now.monotonic,
        )

    return make
