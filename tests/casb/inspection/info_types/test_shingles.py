from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.info_types import InfoType, Spec, compile_types
from casb.inspection.info_types.shingles import Shingles, packed, unpacked

FORM = (
    "Application for parental leave. Please fill in all fields in capital letters and return the form to the personnel "
    "department no later than seven weeks before the leave begins. Name of the applicant: ____ Personnel number: ____ "
    "I hereby apply for parental leave from ____ until ____ and confirm that I live in one household with the child. "
    "I have read the notes on data protection overleaf and agree that my data are processed for this purpose."
)
FILLED = FORM.replace("____", "Ada Lovelace, 4711") + " Signed in London by the applicant herself."
OTHER = "The quick brown fox jumps over the lazy dog while the five boxing wizards look on from the other side. " * 9


def shares(text: str) -> int:
    scan = Shingles({"form": unpacked(packed(FORM), 50)})
    scan.feed(text, final=True)
    return scan.shares()["form"]


def test_a_filled_in_form_is_known() -> None:
    assert shares(FORM) == 100
    assert 60 <= shares(FILLED) <= 100
    assert shares(OTHER) == 0
    assert 20 <= shares(FORM[: len(FORM) // 2]) <= 80


@given(st.integers(1, 40))
def test_any_chunking_gives_the_same(size: int) -> None:
    scan = Shingles({"form": unpacked(packed(FORM), 50)})
    for at in range(0, len(FILLED), size):
        scan.feed(FILLED[at : at + size])
    scan.feed("", final=True)
    assert scan.shares()["form"] == shares(FILLED)


def test_a_matcher_finds_it() -> None:
    about = InfoType(id="form", name="", fingerprint=unpacked(packed(FORM), 50))
    matcher = compile_types(Spec(types=(about,)))
    for text, count in ((FILLED, 1), (OTHER, 0)):
        scan = matcher.begin()
        scan.feed(text.encode())
        assert len(scan.finish()) == count


def test_too_few_words_and_other_files_are_refused() -> None:
    with pytest.raises(ContentError, match="F207"):
        packed("Name: ____")
    for data in (b"", b"casb fingerprint 1\n", b"casb fingerprint 1\n!!!!", b"x" * 40):
        with pytest.raises(ContentError, match="F205"):
            unpacked(data, 50)
