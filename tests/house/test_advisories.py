"""Advisories of comparable products and what they teach: each line has a test that fails without the defence."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
HOSTILE, LESSONS, TOKENS = "e2e/test_hostile_input.py", "e2e/test_lessons.py", "e2e/test_hostile_tokens.py"
FLOWS, LIVE, STEP = "e2e/test_signin_flows.py", "e2e/test_continuous_access.py", "e2e/test_step_up.py"
SIGNIN, RECORDS = "casb/connectors/test_signin.py", "casb/identity/test_sessions.py"

LINES: dict[str, tuple[tuple[str, str], ...]] = {
    "CVE-2017-1000069 login CSRF": (
        (TOKENS, "test_a_callback_carried_into_another_browser"),
        (TOKENS, "test_our_code_in_another_browser_is_worth_nothing_and_burnt"),
    ),
    "CVE-2017-1000070 redirect at start and end": (
        (HOSTILE, "test_no_redirect_leads_away_after_a_sign_in"),
        (HOSTILE, "test_no_parameter_of_the_sign_in_leads_away"),
    ),
    "CVE-2020-5233, -11053, -4037 spellings of a foreign address": ((RECORDS, "test_unsafe_paths"),),
    "CVE-2021-21291 .example.com and badexample.com": (("casb/catalog/test_match.py", "test_match"),),
    "CVE-2021-21411 groups of the configuration": (
        ("casb/identity/test_claims.py", "test_groups_are_the_users_own_at_every_sign_in"),
    ),
    "CVE-2025-54576 rules matched against the query": ((LESSONS, "test_no_path_or_query_goes_past_the_session"),),
    "CVE-2025-64484 X_Forwarded_User": ((HOSTILE, "test_what_only_a_proxy_may_say_is_not_passed_on"),),
    "CVE-2026-34457 health-check user agents": ((LESSONS, "test_no_program_goes_past_the_session"),),
    "CVE-2026-40575 the client's X-Forwarded-Uri": (
        (LESSONS, "test_no_header_goes_past_the_session"),
        (HOSTILE, "test_an_address_claimed_from_outside_decides_nothing"),
    ),
    "CVE-2026-41059 # and %23 widen rules": ((LESSONS, "test_an_encoded_mark_widens_no_rule"),),
    "CVE-2026-40574 a@evil@company": (("casb/identity/test_claims.py", "test_guests"),),
    "GHSA-f24x-5g9q-753f sign-in keeps the old session": (
        (SIGNIN, "test_another_person_ends_the_login_before"),
        (SIGNIN, "test_another_persons_session_on_a_host_ends_when_replaced"),
    ),
    "CVE-2021-29651, -29652 endpoints of ours that check nothing": (
        (LESSONS, "test_there_is_nothing_else_under_the_reserved_path"),
        (STEP, "test_what_waits_is_its_own_sessions"),
        (TOKENS, "test_a_code_that_was_never_given_out"),
    ),
    "CVE-2021-41230 claims not refreshed": (
        (LIVE, "test_the_provider_is_asked_anew_without_a_page_and_claims_are_replaced"),
        (RECORDS, "test_renewal_replaces_all_that_was_said_and_keeps_the_lifetime"),
    ),
    "CVE-2023-33189 the decision of another route": (
        (HOSTILE, "test_a_host_that_is_not_the_sni"),
        (HOSTILE, "test_a_request_smuggled_behind_another"),
    ),
    "CVE-2024-39315 tokens on a page of ours": ((LIVE, "test_the_session_page_shows_no_secrets"),),
    "CVE-2024-47616 one key, one purpose": (
        (FLOWS, "test_bad_logout_tokens_end_nothing"),
        (LIVE, "test_what_is_not_a_transmitters_ends_nothing"),
        (TOKENS, "test_a_bad_token_makes_no_session"),
    ),
    "CVE-2022-24797 debug endpoints": ((LESSONS, "test_there_is_nothing_else_under_the_reserved_path"),),
    "session fixation": ((SIGNIN, "test_fixation"),),
    "code replay": ((TOKENS, "test_our_code_is_worth_one_try"), (SIGNIN, "test_a_code_is_worth_one_try")),
    "code for another host": ((TOKENS, "test_our_code_on_another_host"),),
    "code after 60 s": ((SIGNIN, "test_a_code_lives_a_minute"),),
    "pending of another browser": (
        (SIGNIN, "test_a_code_in_another_browser"),
        (SIGNIN, "test_somebody_elses_waiting_request"),
    ),
    "two tabs at once": ((FLOWS, "test_two_tabs_sign_in_at_once"),),
    "parallel step-ups": ((STEP, "test_parallel_step_ups_in_several_tabs"), (SIGNIN, "test_parallel_step_ups")),
    "expired pending with a body": (
        (SIGNIN, "test_a_waiting_request_lives_ten_minutes"),
        (FLOWS, "test_a_form_too_large_to_keep_is_said_to_be_lost"),
    ),
    "cookie tossing": (
        (LESSONS, "test_a_cookie_tossed_from_a_neighbour_is_no_session"),
        (LESSONS, "test_apps_do_not_set_our_cookies_or_those_of_the_whole_suffix"),
    ),
    "large and many cookies": ((LESSONS, "test_cookies_by_the_hundred_and_long_ones"),),
    "duplicate __Host-casb_s": ((RECORDS, "test_exactly_one_cookie"), (HOSTILE, "test_a_tampered_cookie")),
    "id in the address": ((LESSONS, "test_an_id_in_the_address_is_none"),),
    "clock jump": ((SIGNIN, "test_a_clock_that_jumps"),),
    "key ring rotated mid-session": (
        ("casb/store/test_sessions_redis.py", "test_the_key_ring_changes_in_the_middle_of_a_session"),
        ("casb/store/test_session_keys.py", "test_a_rotated_ring_is_followed"),
    ),
    "store down: 503 and no loop": (
        ("e2e/test_two_nodes.py", "test_a_node_dies_the_store_goes_away_and_nothing_slips_past"),
        (SIGNIN, "test_the_store_is_away"),
    ),
    "provider down while sessions live": (
        (LIVE, "test_an_outage_of_the_provider_ends_nothing_by_itself"),
        (HOSTILE, "test_sessions_go_on_while_the_provider_is_down"),
    ),
    "user disabled": ((LIVE, "test_a_disabled_person_is_out"),),
    "logout token: replay, other client, nonce, alg none": (
        (FLOWS, "test_a_logout_token_ends_the_session_once_and_for_all_hosts"),
        (FLOWS, "test_bad_logout_tokens_end_nothing"),
    ),
    "security event: replay": ((LIVE, "test_a_token_counts_once"),),
}


@functools.cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("line", LINES)
def test_every_lesson_has_its_test(line: str) -> None:
    for file, name in LINES[line]:
        assert name in functions(file), f"{file} has no {name}: what holds this line now?"
