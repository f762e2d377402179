"""The error book: every code that is used has a page, and every page is about something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from casb import codes
from casb.codes import CODES, Code
from casb.errors import Problems
from casb.policy.loader import load

SOURCE = Path(codes.__file__).parent
USED = {
    number
    for path in [SOURCE / "yamlfile.py", *SOURCE.glob("policy/*.py"), *SOURCE.glob("commands/*.py")]
    for number in re.findall(r'"P?(0[0-9]{2})"', path.read_text(encoding="utf-8"))
}


def test_every_code_that_is_used_has_a_page_and_the_other_way_round() -> None:
    assert {f"P{number}" for number in USED} == {code for code in CODES if code.startswith("P")}


@pytest.mark.parametrize("page", CODES.values(), ids=lambda page: page.code)
def test_a_page_is_whole(page: Code) -> None:
    assert re.fullmatch(r"[A-Z][0-9]{3}", page.code)
    assert page.cause.endswith(".") and page.cure.endswith(".")
    text = page.page()
    assert text.startswith(f"{page.code}  {page.meaning}\n")
    assert page.cause in text and page.cure in text and page.example in text.replace("\n    ", "\n").replace("    ", "")


@pytest.mark.parametrize(
    "page", [page for page in CODES.values() if page.code[0] == "P" and page.example], ids=lambda page: page.code
)
def test_the_example_of_a_page_gives_its_error(page: Code) -> None:
    in_policy = "\n".join(f"    {line}" for line in page.example.splitlines())
    head = "version: 1\npolicies:\n  - id: a\n    action: audit\n"
    candidates = [
        page.example,
        head.replace("    action: audit\n", "") + in_policy,
        head + in_policy,
        "version: 1\npolicies:\n  - action: audit\n" + in_policy,
        head + f"    when: {{{page.example}}}\n",
    ]
    found: set[str] = set()
    for text in candidates:
        try:
            load({"e.yaml": text.encode()}, known_apps=["files"], known_labels=["Confidential"])
        except Problems as problems:
            found |= {error.code for error in problems.errors}
    assert page.code in found


def test_a_code_is_defined_once() -> None:
    page = Code(code="P001", meaning="m", cause="c.", cure="c.")
    with pytest.raises(ValueError, match="P001 is defined twice"):
        codes._table(page, page)
