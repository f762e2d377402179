"""A set of types on its way to another process, which makes the matcher from it.

Shipped types travel by name: both processes run the same program.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

import orjson

from casb.inspection.info_types.engine import Matcher, compile_types
from casb.inspection.info_types.shape import Confidence, ExactList, Fingerprint, InfoType, Pattern, Spec
from casb.inspection.info_types.shipped import shipped
from casb.inspection.spec import Recipe

FACTORY = "casb.inspection.info_types.recipe:made"


def recipe(spec: Spec) -> Recipe:
    """What a worker needs to make the matcher of a set."""
    known = shipped()
    told = {
        "last_four": spec.last_four,
        "types": [each.id if known.get(each.id) == each else _told(each) for each in spec.types],
    }
    return Recipe(factory=FACTORY, data=orjson.dumps(told), digest=spec.digest)


def made(data: bytes) -> Matcher:
    """The matcher of a recipe."""
    return compile_types(spec_of(data))


def spec_of(data: bytes) -> Spec:
    """The set that a recipe was made from."""
    told = orjson.loads(data)
    known = shipped()
    types = tuple(known[each] if isinstance(each, str) else _type(each) for each in told["types"])
    return Spec(types=types, last_four=told["last_four"])


def _told(each: InfoType) -> dict[str, Any]:
    plain = asdict(each)
    if each.exact is not None:
        plain["exact"] |= {"key": _text(each.exact.key), "records": _text(each.exact.records)}
    if each.fingerprint is not None:
        plain["fingerprint"]["digests"] = [_text(digest) for digest in sorted(each.fingerprint.digests)]
    return plain


def _type(told: dict[str, Any]) -> InfoType:
    exact, marks = told["exact"], told["fingerprint"]
    lists = {name: tuple(told[name]) for name in ("keywords", "matches", "misses")}
    return InfoType(
        **{
            **told,
            **lists,
            "patterns": tuple(_pattern(each) for each in told["patterns"]),
            "exact": exact and ExactList(**{**exact, "key": _bytes(exact["key"]), "records": _bytes(exact["records"])}),
            "fingerprint": marks
            and Fingerprint(digests=frozenset(map(_bytes, marks["digests"])), share=marks["share"]),
        }
    )


def _pattern(told: dict[str, Any]) -> Pattern:
    alone = told["alone"]
    levels = {"alone": None if alone is None else Confidence(alone), "near": Confidence(told["near"])}
    return Pattern(**{**told, **levels})


def _text(data: bytes) -> str:
    return base64.b85encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b85decode(text)
