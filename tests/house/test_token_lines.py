"""Attacks on ID tokens and key sets that are known: each line has a test that fails without the defence."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
JOSE, TOKENS, KEYS = "casb/identity/test_jose.py", "casb/identity/test_tokens.py", "casb/connectors/test_keys.py"
OIDC, FETCH, WIRE = "casb/connectors/test_oidc.py", "casb/connectors/test_fetch.py", "e2e/test_hostile_tokens.py"

LINES: dict[str, tuple[tuple[str, str], ...]] = {
    "alg none in every spelling": ((JOSE, "test_no_algorithm_in_every_spelling"),),
    "HS256 with the public key as secret": ((JOSE, "test_shared_secret_made_of_the_public_key"),),
    "PS and RS swapped": ((JOSE, "test_algorithm_swapped"),),
    "ES256 with r, s = 0 and high s": ((JOSE, "test_elliptic_signatures_at_the_edges"),),
    "signature empty, cut, another token's": ((JOSE, "test_signature_empty_cut_or_of_another_token"),),
    "2, 4, 5 parts, JSON serialisation, padding, white space, other alphabets": ((JOSE, "test_shape"),),
    "kid malformed": ((JOSE, "test_kid_malformed"), (JOSE, "test_kid_missing")),
    "kid of another tenant, or retired": ((JOSE, "test_kid_unknown"),),
    "jku and x5u: no request leaves": ((JOSE, "test_no_request_leaves"),),
    "embedded jwk": ((JOSE, "test_embedded_key_of_the_attacker"), (JOSE, "test_header_asks_for_too_much")),
    "duplicate members in both orders": (
        (JOSE, "test_header_json"),
        (TOKENS, "test_duplicate_claims_in_both_orders"),
    ),
    "nesting, BOM, UTF-16, overlong UTF-8, NaN": ((JOSE, "test_json"), (TOKENS, "test_bad_payloads")),
    "16 KB and one byte, 10 MB": ((JOSE, "test_length"),),
    "exp, nbf, iat of every wrong kind": ((TOKENS, "test_bad_claims"), (TOKENS, "test_time_window")),
    "iss: other tenant, http, slash, case, template, user information": ((TOKENS, "test_bad_claims"),),
    "tid and iss disagree": (
        (TOKENS, "test_tenants"),
        ("casb/connectors/test_recipes.py", "test_what_a_recipe_keeps_out"),
    ),
    "consumer tenant; another cloud": ((OIDC, "test_clouds_of_microsoft"),),
    "aud: list, another app, case; azp": ((TOKENS, "test_bad_claims"), (TOKENS, "test_audience_lists_elsewhere")),
    "nonce missing, old, not hashed": ((TOKENS, "test_nonce"), (OIDC, "test_a_token_of_an_earlier_sign_in")),
    "access or logout token in the slot": (
        (TOKENS, "test_another_token_in_the_slot"),
        (JOSE, "test_other_kinds_of_token"),
    ),
    "replay of a code": ((OIDC, "test_a_refused_code"), (WIRE, "test_a_bad_token_makes_no_session")),
    "an issuer in the answer that is another's": (
        (OIDC, "test_answers_from_elsewhere"),
        (OIDC, "test_answers_that_name_the_issuer"),
    ),
    "key set: 5,000 keys": ((KEYS, "test_a_hundred_keys_at_most"),),
    "key set: large, endless, 302, HTML": ((FETCH, "test_misbehaviour_ends_soon"), (OIDC, "test_no_keys_no_sign_in")),
    "key set: none at all, x, duplicate kid": (
        (KEYS, "test_what_is_no_key_set"),
        (KEYS, "test_unusable_keys_are_left_out"),
    ),
    "key set: oct, private, enc, short, e = 1, ROCA": (
        (JOSE, "test_unusable_keys"),
        (JOSE, "test_a_512_bit_key"),
        (JOSE, "test_a_private_key_in_a_key_set"),
        (JOSE, "test_a_key_of_the_broken_generator"),
    ),
    "key rotated": ((KEYS, "test_rotation"), (OIDC, "test_rotation_between_two_sign_ins")),
    "outage of 23 hours, then 25": ((KEYS, "test_outage_of_a_day"),),
    "1,000 unknown kids in a second": (
        (KEYS, "test_a_thousand_unknown_kids_ask_once"),
        (KEYS, "test_unknown_kids_do_not_hammer_an_endpoint_that_fails"),
    ),
    "a bad set never replaces a good one": ((KEYS, "test_a_bad_set_never_replaces_a_good_one"),),
    "MSAL believes what it reads": ((OIDC, "test_what_msal_lets_through"), (OIDC, "test_forged_tokens")),
}


@functools.cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("line", LINES)
def test_every_attack_has_its_test(line: str) -> None:
    for file, name in LINES[line]:
        assert name in functions(file), f"{file} has no {name}: what holds this line now?"
