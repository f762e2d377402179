from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import socket
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from casb.errors import TokenError
from casb.identity.jose import MAX_TOKEN, key_id, read_json_object, thumbprint, usable_key, verify_signature

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refused(token: Any, jwks: Any, **options: Any) -> str:
    """The code of the refusal."""
    with pytest.raises(TokenError) as caught:
        verify_signature(token, jwks, **options)
    if isinstance(token, str) and len(token) > 40:
        assert token[:40] not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "ec")])
def test_good_signatures(mint: Any, algorithm: str, kid: str) -> None:
    token = mint.token(b'{"a":1}', {"alg": algorithm, "kid": kid}, sign=algorithm)
    assert verify_signature(token, mint.jwks) == b'{"a":1}'
    assert key_id(token) == kid


def test_eddsa_when_asked_for(mint: Any) -> None:
    token = mint.token(b"{}", {"alg": "EdDSA", "kid": "ed"}, sign="EdDSA")
    assert verify_signature(token, mint.jwks, algorithms=["EdDSA"]) == b"{}"
    assert refused(token, mint.jwks) == "T005"


@pytest.mark.parametrize("name", [*map("".join, itertools.product("nN", "oO", "nN", "eE")), "", " none", "none\x00"])
def test_no_algorithm_in_every_spelling(mint: Any, name: str) -> None:
    for signature in ("", "AA", mint.token().rpartition(".")[2]):
        head = f"{b64(json.dumps({'alg': name, 'kid': 'rsa'}).encode())}.{b64(b'{}')}."
        assert refused(head + signature, mint.jwks) in ("T002", "T005")
        assert refused(head + signature, mint.jwks, algorithms=["none", name]) in ("T002", "T005")


def test_shared_secret_made_of_the_public_key(mint: Any) -> None:
    public = mint.key.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, spki)
    secrets = [
        pem,
        pem.strip(),
        public.public_bytes(serialization.Encoding.DER, spki),
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        json.dumps(mint.jwk).encode(),
        mint.jwk["n"].encode(),
        b"",
    ]
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        for secret in secrets:
            signed = f"{b64(json.dumps({'alg': algorithm, 'kid': 'rsa'}).encode())}.{b64(b'{}')}"
            token = f"{signed}.{b64(hmac.new(secret, signed.encode(), digest).digest())}"
            assert refused(token, mint.jwks) == "T005"
            assert refused(token, mint.jwks, algorithms=["RS256", algorithm]) == "T005"


@pytest.mark.parametrize(
    ("said", "done", "kid", "code"),
    [
        ("PS256", "RS256", "rsa", "T010"),
        ("RS256", "PS256", "rsa", "T010"),
        ("ES256", "RS256", "rsa", "T009"),
        ("RS256", "ES256", "ec", "T009"),
        ("RS512", "RS256", "rsa", "T005"),
        ("rs256", "RS256", "rsa", "T005"),
        ("ES256K", "ES256", "ec", "T005"),
    ],
)
def test_algorithm_swapped(mint: Any, said: str, done: str, kid: str, code: str) -> None:
    assert refused(mint.token(b"{}", {"alg": said, "kid": kid}, sign=done), mint.jwks) == code


@pytest.mark.parametrize("alg", [None, 1, True, ["RS256"], {"RS256": 1}])
def test_algorithm_is_a_string(mint: Any, alg: Any) -> None:
    assert refused(mint.token(b"{}", {"alg": alg, "kid": "rsa"}), mint.jwks) == "T005"
    assert refused(mint.token(b"{}", {"kid": "rsa"}), mint.jwks) == "T005"


def test_elliptic_signatures_at_the_edges(mint: Any) -> None:
    header = {"alg": "ES256", "kid": "ec"}
    head, _, signature = mint.token(b"{}", header, sign="ES256").rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = raw[:32], raw[32:]
    mirrored = (P256_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    # JOSE does not ask for the lower of the two values of s, and providers send either.
    assert verify_signature(f"{head}.{b64(r + mirrored)}", mint.jwks) == b"{}"
    order, zero = P256_ORDER.to_bytes(32, "big"), bytes(32)
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    for bad in (zero + zero, zero + s, r + zero, order + s, r + order, der, raw[:-1], raw + b"\0", b"\0" * 64):
        assert refused(f"{head}.{b64(bad)}", mint.jwks) == "T010"


def test_signature_empty_cut_or_of_another_token(mint: Any) -> None:
    token = mint.token()
    head, _, signature = token.rpartition(".")
    other = mint.token({"a": 1}).rpartition(".")[2]
    assert refused(f"{head}.", mint.jwks) == "T002"
    for bad in (signature[:-6], other, b64(bytes(256)), b64(b"\0" + base64.urlsafe_b64decode(signature + "=="))):
        assert refused(f"{head}.{bad}", mint.jwks) == "T010"
    assert refused(mint.token(foreign=True), mint.jwks) == "T010"


def test_every_flipped_bit_is_noticed(mint: Any) -> None:
    head, payload, signature = mint.token().split(".")
    raw = bytearray(base64.urlsafe_b64decode(payload + "=="))
    for place in range(0, len(raw), 7):
        raw[place] ^= 1
        assert refused(f"{head}.{b64(bytes(raw))}.{signature}", mint.jwks) == "T010"
        raw[place] ^= 1


def shapes(token: str) -> dict[str, Any]:
    head, payload, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(signature[-1])
    loose = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    return {
        "empty": "",
        "one part": head,
        "two parts": f"{head}.{payload}",
        "four parts": f"{token}.{signature}",
        "five parts (JWE)": f"{token}.{signature}.{signature}",
        "dots only": "..",
        "empty header": f".{payload}.{signature}",
        "empty payload": f"{head}..{signature}",
        "JSON serialisation": json.dumps({"protected": head, "payload": payload, "signature": signature}),
        "padding in header": f"{head}==.{payload}.{signature}",
        "padding in signature": f"{token}==",
        "space before": f" {token}",
        "newline after": f"{token}\n",
        "newline within": f"{head}.{payload}\n.{signature}",
        "plus": f"{head}.{payload}.+{signature[1:]}",
        "slash": f"{head}.{payload}./{signature[1:]}",
        "other last character": f"{head}.{payload}.{signature[:-1]}{loose}",
        "one character too many": f"{head}.{payload}.{signature}AAA",
        "not ASCII": f"{head}.{payload}.{signature[:-1]}é",
        "full-width": f"{head}.{payload}.\uff21{signature[1:]}",
        "Bearer": f"Bearer {token}",
        "NUL": f"{token}\0",
    }


@pytest.mark.parametrize("name", sorted(shapes("QQ.QQ.QQ")))
def test_shape(mint: Any, name: str) -> None:
    assert refused(shapes(mint.token())[name], mint.jwks) in ("T002", "T010")


@pytest.mark.parametrize("value", [None, 1, b"a.b.c", ["a"], object()])
def test_not_even_text(mint: Any, value: Any) -> None:
    assert refused(value, mint.jwks) == "T001"


def test_length(mint: Any) -> None:
    fits = mint.token(b'{"a":"' + b"x" * 8000 + b'"}')
    assert verify_signature(fits, mint.jwks)
    assert refused(fits + "A" * (MAX_TOKEN - len(fits)), mint.jwks) != "T001"
    assert refused(fits + "A" * (MAX_TOKEN - len(fits) + 1), mint.jwks) == "T001"
    assert refused("A" * 10_000_000, mint.jwks) == "T001"


@pytest.mark.parametrize(
    "kid",
    [
        None,
        1,
        True,
        [],
        ["rsa"],
        {},
        "",
        "x" * 129,
        "x" * 10_000,
        "../../../../dev/null",
        "file:///etc/passwd",
        "' OR 1=1 --",
        "rsa;ls",
        "rsa\0",
        "rsa\r\nX: y",
        "rs\u0430",
        "rsa ",
    ],
)
def test_kid_malformed(mint: Any, kid: Any) -> None:
    assert refused(mint.token(b"{}", {"alg": "RS256", "kid": kid}), mint.jwks) == "T007"


def test_kid_missing(mint: Any) -> None:
    assert refused(mint.token(b"{}", {"alg": "RS256"}), mint.jwks) == "T007"


@pytest.mark.parametrize("kid", ["RSA", "retired", "other-tenant", "rsa2"])
def test_kid_unknown(mint: Any, kid: str) -> None:
    assert refused(mint.token(b"{}", {"alg": "RS256", "kid": kid}), mint.jwks) == "T008"


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit", "b64", "enc", "zip", "cty"])
@pytest.mark.parametrize("value", [None, [], "x", True])
def test_header_asks_for_too_much(mint: Any, name: str, value: Any) -> None:
    assert refused(mint.token(b"{}", {"alg": "RS256", "kid": "rsa", name: value}), mint.jwks) == "T004"


def test_no_request_leaves(mint: Any) -> None:
    arrived = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/keys"

        def listen() -> None:
            try:
                server.accept()[0].close()
                arrived.append(url)
            except TimeoutError:
                pass

        listener = threading.Thread(target=listen)
        listener.start()
        for name in ("jku", "x5u"):
            assert refused(mint.token(b"{}", {"alg": "RS256", "kid": "rsa", name: url}), mint.jwks) == "T004"
        assert refused(mint.token(b"{}", {"alg": "RS256", "kid": url}), mint.jwks) == "T007"
        listener.join()
    assert arrived == []


def test_embedded_key_of_the_attacker(mint: Any) -> None:
    jwk = RSAAlgorithm.to_jwk(mint.other.public_key(), as_dict=True)
    header = {"alg": "RS256", "kid": "rsa", "jwk": jwk}
    assert refused(mint.token(b"{}", header, foreign=True), mint.jwks) == "T004"


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "JOSE", "jwt", "application/jwt", "", None, 1, ["JWT"], {}])
def test_other_kinds_of_token(mint: Any, kind: Any) -> None:
    header = {"alg": "RS256", "kid": "rsa", "typ": kind}
    if kind is None:
        header["typ"] = False
    assert refused(mint.token(b"{}", header), mint.jwks) == "T006"


BAD_JSON = {
    "duplicate, good first": b'{"alg":"RS256","kid":"rsa","alg":"none"}',
    "duplicate, good last": b'{"alg":"none","kid":"rsa","alg":"RS256"}',
    "duplicate by escape": b'{"alg":"RS256","kid":"rsa","\\u0061lg":"none"}',
    "duplicate, nested": b'{"alg":"RS256","kid":"rsa","x":{"a":1,"a":2}}',
    "array": b'["RS256"]',
    "string": b'"RS256"',
    "null": b"null",
    "number": b"1",
    "nothing": b"\x20",
    "NaN": b'{"alg":"RS256","kid":"rsa","x":NaN}',
    "Infinity": b'{"alg":"RS256","kid":"rsa","x":-Infinity}',
    "1e400": b'{"alg":"RS256","kid":"rsa","x":1e400}',
    "16 digits": b'{"alg":"RS256","kid":"rsa","x":1234567890123456}',
    "400 digits": b'{"alg":"RS256","kid":"rsa","x":' + b"9" * 400 + b"}",
    "9000 digits": b'{"alg":"RS256","kid":"rsa","x":' + b"9" * 9000 + b"}",
    "byte order mark": b'\xef\xbb\xbf{"alg":"RS256","kid":"rsa"}',
    "UTF-16": '{"alg":"RS256","kid":"rsa"}'.encode("utf-16"),
    "UTF-16 without mark": '{"alg":"RS256","kid":"rsa"}'.encode("utf-16-le"),
    "overlong": b'{"alg":"RS256","kid":"rsa","x":"\xc0\xaf"}',
    "surrogate bytes": b'{"alg":"RS256","kid":"rsa","x":"\xed\xa0\x80"}',
    "single quotes": b"{'alg':'RS256','kid':'rsa'}",
    "comment": b'{"alg":"RS256","kid":"rsa"/**/}',
    "trailing comma": b'{"alg":"RS256","kid":"rsa",}',
    "trailing text": b'{"alg":"RS256","kid":"rsa"}x',
    "control character": b'{"alg":"RS256","kid":"rsa","x":"\n"}',
    "nested": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "nested objects": b'{"x":' * 1000 + b"1" + b"}" * 1000,
    "unclosed": b"[" * 11_000,
    "unclosed string": b'{"' + b"[" * 100,
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_header_json(mint: Any, name: str) -> None:
    assert refused(mint.token(b"{}", BAD_JSON[name]), mint.jwks) == "T003"


@pytest.mark.parametrize("name", BAD_JSON)
def test_json(name: str) -> None:
    with pytest.raises(TokenError):
        read_json_object(BAD_JSON[name])


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' {"a" : 1}\n', {"a": 1}),
        (b'{"a":-999999999999999}', {"a": -999999999999999}),
        (b'{"a":[[[1.5,true,null]]]}', {"a": [[[1.5, True, None]]]}),
        (b'{"a":"[[[[[[[[[[[[[[[[[[[[\\"[[["}', {"a": '[[[[[[[[[[[[[[[[[[[["[[['}),
        ('{"a":"ä"}'.encode(), {"a": "ä"}),
        (b'{"a":' + b"[" * 15 + b"]" * 15 + b"}", None),
    ],
)
def test_good_json(data: bytes, value: Any) -> None:
    assert value is None or read_json_object(data) == value
    assert read_json_object(data)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read_json_object(data), dict)
    except TokenError as error:
        assert error.code == "T003"


@given(st.text(max_size=200) | st.from_regex(r"[\w.-]{0,60}\.[\w-]{0,60}\.[\w-]{0,60}", fullmatch=True))
@settings(max_examples=150, deadline=None)
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        verify_signature(text, {"keys": []})


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_set_must_have_one_key_of_the_name(mint: Any) -> None:
    token, jwk = mint.token(), mint.jwk
    foreign = RSAAlgorithm.to_jwk(mint.other.public_key(), as_dict=True) | {"kid": "rsa"}
    oct_key = {"kty": "oct", "kid": "rsa", "k": "AAAA"}
    for keys in ([jwk, foreign], [foreign, jwk], [jwk, dict(jwk)], [jwk, oct_key]):
        assert refused(token, {"keys": keys}) == "T008"
    assert verify_signature(token, {"keys": [oct_key | {"kid": "x"}, "junk", None, jwk]})


@pytest.mark.parametrize("jwks", [{}, [], None, {"keys": "x"}, {"keys": {}}, {"keys": None}, {"keys": []}, "x", 1])
def test_key_sets_that_are_none(mint: Any, jwks: Any) -> None:
    assert refused(mint.token(), jwks) == "T008"


def test_a_key_set_has_a_hundred_keys_at_most(mint: Any) -> None:
    many = [mint.jwk | {"kid": f"k{n}"} for n in range(5000)]
    assert refused(mint.token(), {"keys": [mint.jwk, *many]}) == "T008"
    assert verify_signature(mint.token(), {"keys": [mint.jwk, *many[:99]]})


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": None},
        {"use": ["sig"]},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "PS256"},
        {"alg": "RSA-OAEP"},
        {"alg": None},
        {"kty": "oct"},
        {"kty": "EC"},
        {"kty": "rsa"},
        {"kty": None},
        {"kty": []},
        {"e": "AQ"},
        {"e": "Aw"},
        {"e": "AQAA"},
        {"e": "AQAAAAAAAAAAAAAAAQ"},
        {"e": "AQAB=="},
        {"e": 65537},
        {"e": ""},
        {"n": "AQAB"},
        {"n": 1},
        {"n": None},
        {"n": "+/+/"},
        {"d": "AQAB"},
        {"p": None},
        {"k": "AQAB"},
    ],
)
def test_unusable_keys(mint: Any, change: dict[str, Any]) -> None:
    assert refused(mint.token(), {"keys": [mint.jwk | change]}) in ("T009", "T002")
    with pytest.raises(TokenError):
        usable_key(mint.jwk | change, "RS256")


@pytest.mark.parametrize("missing", ["n", "e", "kty"])
def test_incomplete_keys(mint: Any, missing: str) -> None:
    jwk = mint.jwk
    del jwk[missing]
    assert refused(mint.token(), {"keys": [jwk]}) == "T009"


@pytest.mark.parametrize("change", [{"key_ops": ["verify"]}, {"alg": "RS256"}, {"x5t": "a"}, {"x5c": ["MIIB"]}])
def test_keys_with_more_to_say(mint: Any, change: dict[str, Any]) -> None:
    assert verify_signature(mint.token(), {"keys": [mint.jwk | change]})


def test_a_private_key_in_a_key_set(mint: Any) -> None:
    private = RSAAlgorithm.to_jwk(mint.key, as_dict=True) | {"kid": "rsa"}
    private.pop("key_ops")
    assert refused(mint.token(), {"keys": [private]}) == "T009"


def test_short_keys(mint: Any, short_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(TokenError, match="too short"):
        usable_key(RSAAlgorithm.to_jwk(short_key.public_key(), as_dict=True) | {"key_ops": ["verify"]})


def test_a_512_bit_key(mint: Any) -> None:
    # 512 bits by hand: cryptography no longer makes one.
    modulus = b64(((1 << 511) + 111).to_bytes(64, "big"))
    with pytest.raises(TokenError):
        usable_key({"kty": "RSA", "n": modulus, "e": "AQAB"})


def test_a_key_of_the_broken_generator() -> None:
    # CVE-2017-15361: primes of the form k * M + (65537 ** a mod M), M the product of the small primes.
    product = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101):
        product *= prime
    for prime in (103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167):
        product *= prime
    modulus = (1 << 2047) // product * product + product + pow(65537, 1234, product)
    assert modulus.bit_length() == 2048
    with pytest.raises(TokenError, match="broken generator"):
        usable_key({"kty": "RSA", "n": b64(modulus.to_bytes(256, "big")), "e": "AQAB"})


def test_points_off_the_curve(mint: Any) -> None:
    jwk = next(each for each in mint.jwks["keys"] if each["kid"] == "ec")
    for change in ({"x": b64(bytes(32))}, {"y": jwk["x"]}, {"x": "AA"}, {"crv": "P-384"}, {"crv": "secp256k1"}):
        with pytest.raises(TokenError):
            usable_key(jwk | change)


def test_thumbprint_is_that_of_rfc_7638() -> None:
    jwk = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
        "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
        "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
        "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
