"""Signed tokens as bytes: compact JWS (RFC 7515), the keys that verify them (RFC 7517), and a strict JSON reader.

Knows nothing of claims, issuers or clocks. Signature arithmetic is left to PyJWT and cryptography; everything around
it, which they are lenient about, is here. Errors never carry any part of a token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from casb.errors import TokenError

ALGORITHMS: Final = ("RS256", "PS256", "ES256")
"""What is accepted unless a deployment names its own list."""

SUPPORTED: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Algorithm to key type and curve (RFC 7518 section 3.1, RFC 8037). Shared secrets and `none` are not in it."""

ID_TOKEN_TYPES: Final[frozenset[str | None]] = frozenset({None, "JWT"})
"""The `typ` of an ID token; `at+jwt` and `logout+jwt` are other kinds of token (RFC 8725 section 3.11)."""

MAX_TOKEN: Final = 16 * 1024
MAX_DEPTH: Final = 16
MAX_KEYS: Final = 100

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_KID = re.compile(r"[A-Za-z0-9_.=-]{1,128}", re.ASCII)
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
# Header parameters that bring a key, change the processing or announce another kind of object.
_REFUSED_HEADERS = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "enc", "zip", "cty")
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_PRIMES = tuple(n for n in range(3, 168, 2) if all(n % d for d in range(3, n, 2)))
_ROCA_RESIDUES = {p: {pow(65537, k, p) for k in range(p)} for p in _PRIMES}
_VERIFIERS = get_default_algorithms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A payload whose signature was good, and the RFC 7638 thumbprint of the key that says so (safe to log)."""

    payload: bytes
    key: str


def verify_signature(
    token: str,
    jwks: Mapping[str, Any],
    *,
    algorithms: Collection[str] = ALGORITHMS,
    types: Collection[str | None] = ID_TOKEN_TYPES,
) -> bytes:
    """The payload of a compact JWS whose signature one key of `jwks` verifies; raises `TokenError`.

    `jwks` is a JWK set (RFC 7517 section 5); exactly one of its keys must carry the token's `kid`. `algorithms` is the
    allow-list, which can never name a shared-secret algorithm; `types` are the accepted values of `typ`.
    """
    return verify_jws(token, jwks, algorithms=algorithms, types=types).payload


def verify_jws(
    token: str, jwks: Mapping[str, Any], *, algorithms: Collection[str], types: Collection[str | None]
) -> Verified:
    """As `verify_signature`, and says which key it was."""
    header, payload, signature, signed = _open(token)
    algorithm = _algorithm(header, algorithms)
    kind = header.get("typ")
    if not (kind is None or isinstance(kind, str)) or kind not in types:
        raise TokenError("T006", "the token is of another kind")
    jwk = _only_key(jwks, _kid(header))
    key = usable_key(jwk, algorithm)
    try:
        good = _VERIFIERS[algorithm].verify(signed, key, signature)
    except (PyJWTError, ValueError, UnsupportedAlgorithm) as error:
        raise TokenError("T010", "the signature cannot be verified") from error
    if not good:
        raise TokenError("T010", "the signature is wrong")
    return Verified(payload=payload, key=thumbprint(jwk))


def unverified_payload(token: str) -> bytes:
    """The payload of a token of good structure, of which nothing is verified: only to find the keys for it."""
    return _open(token)[1]


def key_id(token: str) -> str:
    """The `kid` a token names, to find its key with. Nothing is verified yet; raises `TokenError` on bad structure."""
    header, *_ = _open(token)
    return _kid(header)


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The RFC 7638 SHA-256 thumbprint of a usable public key."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode("utf-8")).digest()).rstrip(b"=").decode("ascii")


def usable_key(jwk: Mapping[str, Any], algorithm: str | None = None) -> Any:
    """The public key of a JWK if it may verify signatures (with `algorithm`, if given); raises `TokenError` if not.

    Rules: no private or shared-secret member, `use` and `key_ops` allow verifying, `alg` agrees, RSA of 2048 to 8192
    bits with an odd exponent of at least 65537 and without the ROCA fingerprint, the curve fits the algorithm.
    """
    kty = jwk.get("kty")
    if kty not in ("RSA", "EC", "OKP") or any(member in jwk for member in _PRIVATE_MEMBERS):
        raise TokenError("T009", "the key is not a public key")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise TokenError("T009", "the key is not meant for verifying signatures")
    if algorithm is None:
        algorithm = next((name for name, (t, c) in SUPPORTED.items() if t == kty and c in (None, jwk.get("crv"))), "")
    elif jwk.get("alg", algorithm) != algorithm:
        raise TokenError("T009", "the key is meant for another algorithm")
    expected = SUPPORTED.get(algorithm)
    if expected is None or expected[0] != kty or (expected[1] is not None and expected[1] != jwk.get("crv")):
        raise TokenError("T009", "the key does not fit the algorithm")
    for member in ("n", "e", "x", "y"):
        if member in jwk:
            _base64url(jwk[member])
    try:
        key = _VERIFIERS[algorithm].from_jwk(dict(jwk))
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TokenError("T009", "the key cannot be read") from error
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa(key.public_numbers())
    return key


def read_json_object(data: bytes) -> dict[str, Any]:
    """A JSON object read strictly: UTF-8 without a byte order mark, each name once, finite numbers, integers of at most
    15 digits, nesting of at most 16; raises `TokenError`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenError("T003", "the JSON is not UTF-8") from error
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_constant=_not_a_number,
            parse_int=_integer,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise TokenError("T003", "the JSON is malformed") from error
    if not isinstance(value, dict):
        raise TokenError("T003", "the JSON is not an object")
    return value


def _open(token: str) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    """Header, payload, signature and the signed bytes."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise TokenError("T001", "the token is too long")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise TokenError("T002", "the token is not a compact JWS")
    header, payload, signature = (_base64url(part) for part in match.groups())
    members = read_json_object(header)
    if any(name in members for name in _REFUSED_HEADERS):
        raise TokenError("T004", "the token's header asks for something that is not allowed")
    return members, payload, signature, token.rpartition(".")[0].encode("ascii")


def _base64url(text: object) -> bytes:
    """Base64url without padding, one spelling only (RFC 7515 section 2)."""
    if not isinstance(text, str) or _BASE64URL.fullmatch(text) is None:
        raise TokenError("T002", "a part is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise TokenError("T002", "a part is not base64url") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != text:
        raise TokenError("T002", "a part is not canonical base64url")
    return data


def _algorithm(header: Mapping[str, Any], allowed: Collection[str]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in SUPPORTED or algorithm not in allowed:
        raise TokenError("T005", "the token's algorithm is not allowed")
    return algorithm


def _kid(header: Mapping[str, Any]) -> str:
    kid = header.get("kid")
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise TokenError("T007", "the token does not name its key properly")
    return kid


def _only_key(jwks: Mapping[str, Any], kid: str) -> Mapping[str, Any]:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, (list, tuple)) or len(keys) > MAX_KEYS:
        raise TokenError("T008", "the key set is not usable")
    found = [jwk for jwk in keys if isinstance(jwk, Mapping) and jwk.get("kid") == kid]
    if len(found) != 1:
        raise TokenError("T008", "no key, or more than one, has the name that the token gives")
    return found[0]


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    if not 2048 <= numbers.n.bit_length() <= 8192:
        raise TokenError("T009", "the RSA key is too short or too long")
    if numbers.e < 65537 or numbers.e % 2 == 0 or numbers.e.bit_length() > 64:
        raise TokenError("T009", "the RSA exponent is unsafe")
    # CVE-2017-15361: such moduli lie in the subgroup of 65537 modulo every small prime.
    if all(numbers.n % p in residues for p, residues in _ROCA_RESIDUES.items()):
        raise TokenError("T009", "the RSA key comes from a broken generator")


def _check_depth(text: str) -> None:
    depth = 0
    for match in _NESTING.finditer(text):
        mark = match.group()[0]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise TokenError("T003", "the JSON is nested too deeply")
        elif mark in "]}":
            depth -= 1


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenError("T003", "the JSON has a name twice")
    return members


def _not_a_number(_: str) -> NoReturn:
    raise TokenError("T003", "the JSON has a number that is none")


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > 15:
        raise TokenError("T003", "the JSON has an integer that is too large")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise TokenError("T003", "the JSON has a number that is too large")
    return value
