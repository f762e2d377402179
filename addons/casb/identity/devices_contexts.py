"""Whether a Conditional Access policy stands behind an authentication context, and for whom.

Entra puts a *requested* context into a token even when no policy targets it, or the person is excluded from the policy
(developer guide for authentication contexts, "expected behaviour"). So a context proves a device only while an enabled
policy with that context demands one, for everybody but people whom we can tell. Pure; reads what Graph's
`identity/conditionalAccess/policies` lists (resource type conditionalAccessPolicy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from casb.model.identity import DeviceTag

GRANTS: Final = {DeviceTag.COMPLIANT: "compliantDevice", DeviceTag.HYBRID_JOINED: "domainJoinedDevice"}
_ALL: Final = "All"


@dataclass(frozen=True, slots=True)
class Guard:
    """People whom one policy leaves out, by object id and by group; guests altogether."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    guests: bool = False


def guards(policies: Iterable[object], context: str, tag: DeviceTag) -> tuple[Guard, ...]:
    """The policies that make a context prove a tag; any of them suffices for those whom it does not leave out."""
    return tuple(guard for each in policies if isinstance(each, dict) and (guard := _guard(each, context, tag)))


def covers(found: Iterable[Guard], object_id: str, groups: frozenset[str], guest: bool) -> bool:
    """Whether any of the policies holds for a person, whose groups include those that `group_ids` names."""
    return any(
        object_id.lower() not in each.users and groups.isdisjoint(each.groups) and not (guest and each.guests)
        for each in found
    )


def group_ids(found: Iterable[Guard]) -> frozenset[str]:
    """The groups that must be known to tell whom the policies leave out."""
    return frozenset().union(*(each.groups for each in found))


def _guard(policy: Mapping[str, Any], context: str, tag: DeviceTag) -> Guard | None:
    conditions = _mapping(policy.get("conditions"))
    targets = _texts(_mapping(conditions.get("applications")).get("includeAuthenticationContextClassReferences"))
    if policy.get("state") != "enabled" or context not in targets or not _demands(policy, tag):
        return None
    users = _mapping(conditions.get("users"))
    if _ALL not in _texts(users.get("includeUsers")) or _texts(users.get("excludeRoles")) or _narrow(conditions):
        return None
    without = _texts(users.get("excludeUsers"))
    guests = bool(users.get("excludeGuestsOrExternalUsers")) or "GuestsOrExternalUsers" in without
    return Guard(
        users=frozenset(each.lower() for each in without),
        groups=frozenset(each.lower() for each in _texts(users.get("excludeGroups"))),
        guests=guests,
    )


def _demands(policy: Mapping[str, Any], tag: DeviceTag) -> bool:
    """Whether nobody satisfies the grant without such a device: it is required with all others, or alone."""
    grant = _mapping(policy.get("grantControls"))
    controls = set(_texts(grant.get("builtInControls")))
    if GRANTS.get(tag) not in controls:
        return False
    others = len(controls) > 1 or any(
        grant.get(each) for each in ("customAuthenticationFactors", "termsOfUse", "authenticationStrength")
    )
    return grant.get("operator") == "AND" or not others


def _narrow(conditions: Mapping[str, Any]) -> bool:
    """Whether it holds on some devices, places or risks only."""
    clients = _texts(conditions.get("clientAppTypes"))
    if clients and not {"all", "browser"} & set(clients):
        return True
    platforms, places = _mapping(conditions.get("platforms")), _mapping(conditions.get("locations"))
    if platforms and ("all" not in _texts(platforms.get("includePlatforms")) or platforms.get("excludePlatforms")):
        return True
    if places and (_ALL not in _texts(places.get("includeLocations")) or places.get("excludeLocations")):
        return True
    flows = ("devices", "signInRiskLevels", "userRiskLevels", "servicePrincipalRiskLevels", "authenticationFlows")
    return any(conditions.get(each) for each in (*flows, "insiderRiskLevels"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
