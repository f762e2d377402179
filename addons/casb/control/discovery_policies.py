"""The discovery policies of a folder beside the others: what keeps one from use keeps the folder from being in force.

`casb check`, the portal and the workers ask here, so that all of them refuse the same folders.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from casb.control.discovery_words import words
from casb.discovery.policies import DiscoveryPolicy, load
from casb.errors import CasbError, PolicyError, Problems
from casb.policy.loader import LoadedPolicy
from casb.policykinds import DISCOVERY


def discovery_policies(
    texts: Mapping[str, bytes], others: Collection[LoadedPolicy], errors: list[CasbError]
) -> tuple[DiscoveryPolicy, ...]:
    """The discovery policies among the texts of policy files.

    What is wrong with them is added to `errors`; what stands there already (a file that is no YAML) is not. An id is
    taken where one of `others` has it.
    """
    # Reading a file again costs as much as reading it: only those that can have one.
    mine = {name: text for name, text in texts.items() if DISCOVERY.encode() in text}
    try:
        watching = load(mine, words())
    except Problems as problems:
        known = {str(each) for each in errors}
        errors += [each for each in problems.errors if str(each) not in known]
        return ()
    first = {each.document.id: each.origins.policy for each in others}
    for each in watching:
        if each.id in first:
            hint = f"the first one is at {first[each.id]}; ids are unique in the folder"
            errors.append(PolicyError("P030", f"policy id '{each.id}' is used twice", each.where, hint))
    return watching
