from __future__ import annotations

import pytest

from casb.errors import Problems
from casb.inspection.info_types import Spec, compile_types, exact, search, shingles
from casb.inspection.info_types.custom import load

KEY = b"k" * 32
STAFF = exact.packed([{"ssn": "536-90-4399", "name": "Ada"}], primary="ssn", supporting=["name"], key=KEY)
DECLARATION = (
    "The undersigned hereby declares that all of the above is true and complete, that no relevant fact was left out, "
    "and that any change will be reported to the office in charge without delay and in writing."
)
FORM = shingles.packed(DECLARATION)


def folder(text: str) -> dict[str, bytes]:
    return {
        "info_types/own.yaml": f"types:\n{text}".encode(),
        "info_types/staff.digests": STAFF,
        "info_types/form.digests": FORM,
        "apps/x.yaml": b"nonsense",
    }


@pytest.mark.parametrize(
    ("written", "text", "found"),
    [
        ("- {id: aurora, words: [Aurora, project north]}", "PROJECT NORTH and aurora", 2),
        ("- {id: part, patterns: [{expression: 'AUR-[0-9]{4}'}]}", "aur-1234, AUR-12345", 1),
        ("- {id: part, patterns: [{expression: 'AUR-[0-9]{4}', any_case: false}]}", "aur-1234 AUR-1234", 1),
        ("- {id: part, patterns: [{expression: 'AUR[0-9]+', inside_words: true}]}", "XAUR1234X", 1),
        ("- {id: part, keywords: [order], patterns: [{expression: '[0-9]{5}', check: luhn}]}", "18002; order 18002", 2),
        ("- {id: part, keywords: [order], patterns: [{expression: '[0-9]{5}', check: luhn}]}", "18002", 0),
        (
            "- {id: part, keywords: [order], proximity: 5, patterns: [{expression: '[0-9]{5}'}]}",
            "order no ....... 18002",
            0,
        ),
        ("- {id: staff, exact: {digests: staff.digests, like: us-ssn, needed: 1}}", "536-90-4399 Ada", 1),
        ("- {id: staff, exact: {digests: staff.digests, like: us-ssn, needed: 1}}", "536-90-4399 Eve", 0),
        (
            "- {id: form, fingerprint: {digests: form.digests}}",
            DECLARATION,
            1,
        ),
        ("- {id: umlaut, patterns: [{expression: 'straße [0-9]{1,3}'}]}", "STRASSE 1, Straße 12", 1),
    ],
)
def test_a_type_of_their_own(written: str, text: str, found: int) -> None:
    types = load(folder(written), key=KEY)
    for engine in ("hyperscan", "plain"):
        matcher = compile_types(Spec(types=tuple(types.values())), engine)
        assert sum(each.total for each in search(matcher, text)) == found, engine


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("- {id: Aurora, words: [xy]}", "policies/info_types/own.yaml:2:8: C140"),
        ("- {id: credit-card, words: [xy]}", ":2:8: C140 'credit-card' comes with casb"),
        ("- {id: secret, words: [xy]}", ":2:8: C140"),
        ("- {id: a, words: [xy]}\n- {id: a, words: [xy]}", ":3:8: C140 two types have the id 'a'"),
        ("- {id: a}", ":2:8: C142"),
        ("- {id: a, words: [x]}", ":2:19: C142"),
        ("- {id: a, words: [xy], proximity: 5000}", ":2:35: C142"),
        ("- {id: a, patterns: [{expression: '^a'}]}", ":2:35: C141 an expression has no anchors"),
        ("- {id: a, patterns: [{expression: 'a|b$'}]}", ":2:35: C141"),
        ("- {id: a, patterns: [{expression: '(a'}]}", ":2:35: C141"),
        ("- {id: a, patterns: [{expression: '(?=a)b'}]}", ":2:35: C141"),
        ("- {id: a, patterns: [{expression: 'a*'}]}", ":2:35: C141 the expression matches the empty text"),
        (
            "- {id: a, patterns: [{expression: 'ab', check: lunh}]}",
            "C143 there is no validator 'lunh'; did you mean 'luhn'?",
        ),
        ("- {id: a, patern: []}", "own.yaml:2:11: C013 unknown key 'patern'"),
        ("- {id: a, exact: {digests: staff.digests}}", "C144 nothing says how"),
        ("- {id: a, exact: {digests: staff.digests, like: us-sn}}", "did you mean 'us-ssn'?"),
        ("- {id: a, exact: {digests: gone.digests, like: us-ssn}}", "C144 no file 'gone.digests'"),
        ("- {id: a, exact: {digests: form.digests, like: us-ssn}}", "C144 no list of exact data match"),
        ("- {id: a, exact: {digests: staff.digests, like: us-ssn, needed: 2}}", "C144 the list has 1 supporting"),
        ("- {id: a, fingerprint: {digests: staff.digests}}", "C144 no fingerprint"),
        ("- {id: a, fingerprint: {digests: form.digests, share: 0}}", "C142 a share of 0 %"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(written: str, error: str) -> None:
    with pytest.raises(Problems) as caught:
        load(folder(written), key=KEY, label="policies")
    assert error in str(caught.value)


def test_classes_and_escapes_are_no_anchors() -> None:
    written = "- {id: a, patterns: [{expression: '[^a]x'}, {expression: 'b\\^\\$'}, {expression: 'USD\\$ ?[0-9]{2}'}]}"
    assert len(load(folder(written))["a"].patterns) == 3


def test_exact_match_needs_a_key() -> None:
    written = "- {id: a, exact: {digests: staff.digests, like: us-ssn}}"
    with pytest.raises(Problems, match="exact data match needs a key"):
        load(folder(written), key=None)
    assert load(folder(written))["a"].exact is None  # where secrets are not to be had: casb check
    with pytest.raises(Problems, match="another key"):
        load(folder(written), key=b"j" * 32)
