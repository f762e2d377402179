"""A domain is put into a file as a person would, and nothing else of the file changes."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from casb.config.attach import with_domain

NEW = "cdn.example"


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("id: a\ndomains: [x.example] # ours\n", "id: a\ndomains: [x.example, cdn.example] # ours\n", "in brackets"),
        ("id: a\ndomains: []\n", "id: a\ndomains: [cdn.example]\n", "an empty list"),
        ("id: a\ndomains:\n  - x.example # first\n\n# end\n", "id: a\ndomains:\n  - x.example # first\n  - cdn.example\n\n# end\n", "lines keep their comments"),
        ("id: a\ndomains:\n- x.example", "id: a\ndomains:\n- x.example\n- cdn.example\n", "no line ending at the end"),
        ("id: a\r\ndomains:\r\n  - x.example\r\nname: A\r\n", "id: a\r\ndomains:\r\n  - x.example\r\n  - cdn.example\r\nname: A\r\n", "its own line endings"),
        ("id: a\ndomains: x.example\n", "id: a\ndomains: [x.example, cdn.example]\n", "a single name"),
        ("id: a\ndomains: [\n  x.example,  # one\n  y.example   # two\n]\n", "id: a\ndomains: [\n  x.example,  # one\n  y.example, cdn.example   # two\n]\n", "brackets over lines"),
        ("apps:\n  - id: b\n    domains: [y.example]\n  - id: a\n    domains:\n      - x.example\n", "apps:\n  - id: b\n    domains: [y.example]\n  - id: a\n    domains:\n      - x.example\n      - cdn.example\n", "one of several apps"),
        ("\ufeffid: a\ndomains: [x.example]\n", "\ufeffid: a\ndomains: [x.example, cdn.example]\n", "a byte order mark"),
        ("id: ä\ndomains: [x.example]\n", None, "another app"),
        ("apps:\n  - id: b\n    domains: [y.example]\n", None, "not among several"),
    ],
)  # fmt: skip
def test_texts(text: str, expected: str | None, why: str) -> None:
    assert with_domain(text, "a", NEW) == expected, why


def test_a_wildcard_is_quoted() -> None:
    assert (
        with_domain("id: a\ndomains: [x.example]\n", "a", "*.x.example")
        == 'id: a\ndomains: [x.example, "*.x.example"]\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        "id: a\ndomains: {x: y}\n",
        "id: a\ndomains: [x.example, \n",
        "id: a\ndomains: |\n  x.example\n  y.example\n",
        "common: &c [x.example]\nid: a\ndomains: *c\nother: *c\n",
    ],
)
def test_what_cannot_be_added_to_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"domains|YAML|list"):
        with_domain(text, "a", NEW)


@given(st.text(max_size=200))
def test_any_text_gives_a_text_nothing_or_its_one_error(text: str) -> None:
    try:
        with_domain(text, "a", NEW)
    except ValueError:
        pass


@given(
    st.lists(st.sampled_from(["x.example", "y.example", '"*.z.example"']), min_size=1, max_size=4, unique=True),
    st.booleans(),
    st.sampled_from(["", " # a comment, with: colons"]),
)
def test_only_the_one_domain_is_new(domains: list[str], flow: bool, comment: str) -> None:
    body = (
        f" [{', '.join(domains)}]{comment}\n" if flow else "\n" + "".join(f"  - {each}{comment}\n" for each in domains)
    )
    text = f"# top\nid: a\nname: A\ndomains:{body}tag: sanctioned # end\n"
    changed = with_domain(text, "a", NEW)
    assert changed is not None
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    assert after.pop("domains") == [*before.pop("domains"), NEW]
    assert after == before
    assert changed.count("#") == text.count("#")
