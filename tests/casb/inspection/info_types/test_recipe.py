from __future__ import annotations

from casb.inspection.info_types import InfoType, Pattern, Spec, compile_spec, exact, search, shingles
from casb.inspection.info_types.recipe import made, recipe, spec_of
from casb.inspection.info_types.shape import Confidence
from casb.inspection.info_types.shipped import shipped

KEY = b"k" * 32
OWN = InfoType(
    id="own",
    name="Own",
    patterns=(Pattern(expression="A-[0-9]{4}", alone=None, near=Confidence.LOW, any_case=True),),
    keywords=("aurora",),
    exact=exact.unpacked(exact.packed([{"n": "A-1234"}], primary="n", supporting=[], key=KEY), KEY, 0),
)
FORM = InfoType(
    id="form",
    name="",
    fingerprint=shingles.unpacked(
        shingles.packed(
            "The undersigned hereby declares that all of the above is true and complete, that no relevant fact "
            "was left out, and that any change will be reported to the office in charge without delay and in writing."
        ),
        30,
    ),
)
SPEC = Spec(types=(shipped()["iban"], OWN, FORM), last_four=True)


def test_a_set_travels() -> None:
    sent = recipe(SPEC)
    assert spec_of(sent.data) == SPEC
    assert spec_of(sent.data).digest == sent.digest == SPEC.digest
    assert [each.info_type for each in search(made(sent.data), "aurora a-1234, A-4321")] == ["own"]
    assert len(recipe(Spec(types=(shipped()["iban"],))).data) < 100


def test_the_digest_tells_sets_apart() -> None:
    digests = {SPEC.digest, Spec(types=SPEC.types).digest, Spec(types=SPEC.types[:2]).digest, Spec().digest}
    assert len(digests) == 4


def test_a_set_is_compiled_once() -> None:
    assert compile_spec(SPEC) is compile_spec(spec_of(recipe(SPEC).data))
