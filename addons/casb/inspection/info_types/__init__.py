"""Sensitive information types: what they are, and texts searched for them.

`compile_spec` makes the matcher of a set once per process; `search` is for a text that is there as a whole.
"""

from __future__ import annotations

from collections import OrderedDict

from casb.inspection.info_types.engine import Matcher, compile_types
from casb.inspection.info_types.shape import LATENCY, Confidence, ExactList, Fingerprint, InfoType, Pattern, Spec
from casb.inspection.spec import TextMatcher
from casb.model.file import Finding

_KEPT = 4
_made: OrderedDict[str, Matcher] = OrderedDict()


def compile_spec(spec: Spec) -> Matcher:
    """The matcher of a set, made on the first call with it. Belongs to the thread that asks."""
    digest = spec.digest
    found = _made.pop(digest, None) or compile_types(spec)
    _made[digest] = found
    while len(_made) > _KEPT:
        _made.popitem(last=False)
    return found


def search(matcher: TextMatcher, text: str) -> tuple[Finding, ...]:
    """All findings of a text."""
    scan = matcher.begin()
    scan.feed(text.encode("utf-8", "replace"))
    return scan.finish()


__all__ = [
    "LATENCY",
    "Confidence",
    "ExactList",
    "Fingerprint",
    "InfoType",
    "Matcher",
    "Pattern",
    "Spec",
    "compile_spec",
    "compile_types",
    "search",
]
