"""Tokens made to order: any header and payload bytes, really signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRESENT = int(NOW.timestamp())
TENANT = "11111111-2222-4333-8444-555555555555"
ISSUER = "https://login.example/{tenantid}/v2.0"
CLIENT = "client-1"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def as_bytes(part: Mapping[str, Any] | bytes) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


@dataclass(frozen=True)
class Mint:
    """Signs what it is given; `jwks` has its public keys."""

    key: rsa.RSAPrivateKey
    other: rsa.RSAPrivateKey
    curve: ec.EllipticCurvePrivateKey
    ed: ed25519.Ed25519PrivateKey

    @property
    def jwk(self) -> dict[str, Any]:
        return RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True) | {"kid": "rsa", "use": "sig"}

    @property
    def jwks(self) -> dict[str, Any]:
        ec_jwk = ECAlgorithm.to_jwk(self.curve.public_key(), as_dict=True) | {"kid": "ec", "use": "sig"}
        ed_jwk = OKPAlgorithm.to_jwk(self.ed.public_key(), as_dict=True) | {"kid": "ed", "use": "sig"}
        return {"keys": [self.jwk, ec_jwk, ed_jwk]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A good Entra ID token's; a change to None leaves the claim out."""
        claims = {
            "iss": ISSUER.replace("{tenantid}", TENANT),
            "aud": CLIENT,
            "sub": "pairwise-ada",
            "tid": TENANT,
            "oid": "aaaaaaaa-0000-4000-8000-000000000001",
            "iat": PRESENT,
            "nbf": PRESENT,
            "exp": PRESENT + 3600,
            "ver": "2.0",
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, algorithm: str, signed: bytes, *, foreign: bool = False) -> bytes:
        key = self.other if foreign else self.key
        if algorithm == "RS256":
            return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        if algorithm == "PS256":
            return key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        if algorithm == "EdDSA":
            return self.ed.sign(signed)
        assert algorithm == "ES256"
        r, s = decode_dss_signature(self.curve.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(
        self,
        payload: Mapping[str, Any] | bytes | None = None,
        header: Mapping[str, Any] | bytes | None = None,
        *,
        sign: str = "RS256",
        foreign: bool = False,
    ) -> str:
        header = {"alg": "RS256", "kid": "rsa", "typ": "JWT"} if header is None else header
        payload = self.claims() if payload is None else payload
        signed = f"{b64(as_bytes(header))}.{b64(as_bytes(payload))}"
        return f"{signed}.{b64(self.sign(sign, signed.encode(), foreign=foreign))}"


@pytest.fixture(scope="session")
def mint() -> Mint:
    return Mint(
        key=rsa.generate_private_key(public_exponent=65537, key_size=2048),
        other=rsa.generate_private_key(public_exponent=65537, key_size=2048),
        curve=ec.generate_private_key(ec.SECP256R1()),
        ed=ed25519.Ed25519PrivateKey.generate(),
    )


@pytest.fixture(scope="session")
def short_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
