"""What the policies in force must know of people and devices, so that nothing else is looked up or asked for. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from casb.control.snapshot import Snapshot
from casb.model.identity import UNMANAGED, DeviceTag
from casb.policy.conditions import Leaf


def named_groups(snapshot: Snapshot) -> frozenset[str]:
    """The groups that policies, rollouts and the scope name, as written."""
    found: set[str] = set()
    for policy in snapshot.loaded:
        for leaf in policy.when.leaves():
            if (leaf.field.group, leaf.field.name) == ("user", "group"):
                found.update(_words(leaf.operand))
        if policy.document.rollout is not None:
            found.update(_words(getattr(policy.document.rollout, "groups", ())))
    scope = snapshot.settings.scope
    for rule in (*scope.include, *scope.exclude):
        found.update(rule.groups)
    return frozenset(found)


def groups_digest(names: Iterable[str]) -> str:
    """Names a set of groups: what was looked up for another one is not complete."""
    return hashlib.sha256("\0".join(sorted(names)).encode()).hexdigest()[:16]


def asks_for_certificates(snapshot: Snapshot, app: str) -> bool:
    """Whether a certificate could matter in an app: the admin wants it always, or a policy there asks for it."""
    settings = snapshot.settings.client_certificates
    if settings is None:
        return False
    if settings.ask == "always" or (snapshot.settings.device_inventory is not None and _any_device(snapshot, app)):
        return True
    tags = {DeviceTag.CLIENT_CERTIFICATE.value, UNMANAGED}
    return any(_words_or_all(leaf, tags) for leaf in _device_leaves(snapshot, app))


def _any_device(snapshot: Snapshot, app: str) -> bool:
    return next(_device_leaves(snapshot, app), None) is not None


def _device_leaves(snapshot: Snapshot, app: str) -> Iterator[Leaf]:
    for policy in snapshot.loaded:
        if not policy.apps or app in policy.apps:
            for leaf in policy.when.leaves():
                if (leaf.field.group, leaf.field.name) == ("device", "tag"):
                    yield leaf


def _words_or_all(leaf: Leaf, tags: set[str]) -> bool:
    words = _words(leaf.operand)
    return not words or not tags.isdisjoint(words)


def _words(operand: object) -> set[str]:
    if isinstance(operand, str):
        return {operand}
    if isinstance(operand, (list, tuple, set, frozenset)):
        return {each for each in operand if isinstance(each, str)}
    return set()
