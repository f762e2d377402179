"""Which policies of a file are whose: several kinds stand in one file, and each room reads its own.

The rooms do not know each other; all that they share is this word.
"""

from __future__ import annotations

from dataclasses import replace

from casb.yamlfile import Node

DISCOVERY = "discovery"


def without_discovery(root: Node) -> Node:
    """The document without its discovery policies."""
    return _narrowed(root, discovery=False)


def only_discovery(root: Node) -> Node:
    """The document with its discovery policies alone."""
    return _narrowed(root, discovery=True)


def _narrowed(root: Node, *, discovery: bool) -> Node:
    policies = root.value.get("policies") if isinstance(root.value, dict) else None
    if not isinstance(root.value, dict) or policies is None or not isinstance(policies.value, list):
        return root
    kept: list[Node] = [each for each in policies.value if _is_discovery(each) is discovery]
    return replace(root, value={**root.value, "policies": replace(policies, value=kept)})


def _is_discovery(node: Node) -> bool:
    kind = node.value.get("kind") if isinstance(node.value, dict) else None
    return kind is not None and kind.value == DISCOVERY
