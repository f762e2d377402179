from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.identity.devices_contexts import covers, group_ids, guards
from casb.model.identity import DeviceTag

ADA, GROUP = "0000aaaa-0000-4000-8000-000000000001", "0000bbbb-0000-4000-8000-000000000002"
GOOD: dict[str, Any] = {
    "state": "enabled",
    "conditions": {
        "users": {"includeUsers": ["All"]},
        "applications": {"includeAuthenticationContextClassReferences": ["c1", "c7"]},
        "clientAppTypes": ["all"],
        "platforms": None,
    },
    "grantControls": {"operator": "OR", "builtInControls": ["compliantDevice"]},
}


def changed(path: str, value: object) -> dict[str, Any]:
    policy = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    place = policy
    for name in above:
        place = place[name]
    place[last] = value
    return policy


BOTH = {"operator": "AND", "builtInControls": ["mfa", "compliantDevice"]}
NOT_IOS = {"includePlatforms": ["all"], "excludePlatforms": ["iOS"]}
OUTSIDE = {"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}
PROVES = [
    ("as it should be", GOOD, True),
    ("report-only", changed("state", "enabledForReportingButNotEnforced"), False),
    ("off", changed("state", "disabled"), False),
    ("another context", changed("conditions.applications.includeAuthenticationContextClassReferences", ["c2"]), False),
    ("another grant", changed("grantControls.builtInControls", ["mfa"]), False),
    ("device or mfa", changed("grantControls.builtInControls", ["compliantDevice", "mfa"]), False),
    ("device or strength", changed("grantControls.authenticationStrength", {"id": "x"}), False),
    ("device and mfa", changed("grantControls", BOTH), True),
    ("no grant", changed("grantControls", None), False),
    ("some people", changed("conditions.users.includeUsers", [ADA]), False),
    ("not some roles", changed("conditions.users.excludeRoles", ["r"]), False),
    ("some platforms", changed("conditions.platforms", {"includePlatforms": ["windows"]}), False),
    ("not some platforms", changed("conditions.platforms", NOT_IOS), False),
    ("all platforms", changed("conditions.platforms", {"includePlatforms": ["all"], "excludePlatforms": []}), True),
    ("outside of offices", changed("conditions.locations", OUTSIDE), False),
    ("risky sign-ins", changed("conditions.signInRiskLevels", ["high"]), False),
    ("a filter for devices", changed("conditions.devices", {"deviceFilter": {"mode": "include"}}), False),
    ("other clients", changed("conditions.clientAppTypes", ["exchangeActiveSync"]), False),
    ("browsers", changed("conditions.clientAppTypes", ["browser"]), True),
]  # fmt: skip


@pytest.mark.parametrize(("why", "policy", "proves"), PROVES, ids=[each[0] for each in PROVES])
def test_a_context_proves_a_device_when_an_enabled_policy_demands_one_of_everybody(
    why: str, policy: dict[str, Any], proves: bool
) -> None:
    assert bool(guards([policy], "c1", DeviceTag.COMPLIANT)) is proves, why


def test_each_tag_has_a_grant_of_its_own() -> None:
    joined = changed("grantControls.builtInControls", ["domainJoinedDevice"])
    assert guards([GOOD, joined], "c1", DeviceTag.HYBRID_JOINED) == guards([joined], "c1", DeviceTag.HYBRID_JOINED)
    assert guards([GOOD], "c1", DeviceTag.CLIENT_CERTIFICATE) == ()


@pytest.mark.parametrize(
    ("path", "value", "covered"),
    [
        ("conditions.users.excludeUsers", [ADA.upper()], False),
        ("conditions.users.excludeUsers", ["someone-else"], True),
        ("conditions.users.excludeGroups", [GROUP.upper()], False),
        ("conditions.users.excludeGroups", ["another"], True),
        ("conditions.users.excludeUsers", ["GuestsOrExternalUsers"], False),
        ("conditions.users.excludeGuestsOrExternalUsers", {"guestOrExternalUserTypes": "b2bCollaborationGuest"}, False),
    ],
)
def test_people_whom_the_policy_leaves_out_have_no_tag(path: str, value: object, covered: bool) -> None:
    found = guards([changed(path, value)], "c1", DeviceTag.COMPLIANT)
    assert covers(found, ADA, frozenset({GROUP}), guest=True) is covered
    both = guards([changed(path, value), GOOD], "c1", DeviceTag.COMPLIANT)
    assert covers(both, ADA, frozenset({GROUP}), guest=True)


def test_the_groups_to_look_up_are_those_that_are_left_out() -> None:
    assert group_ids(guards([changed("conditions.users.excludeGroups", [GROUP])], "c1", DeviceTag.COMPLIANT)) == {GROUP}
    assert not covers((), ADA, frozenset(), guest=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["enabled", "c1", "All", "compliantDevice"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["state", "conditions", "users", "applications", "grantControls", "builtInControls"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(JSON, max_size=3))
def test_whatever_graph_lists_nothing_is_proven_by_accident(policies: list[Any]) -> None:
    assert guards(policies, "c1", DeviceTag.HYBRID_JOINED) == ()
