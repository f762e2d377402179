"""Loading: good files become policies with places, broken ones their exact messages."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import PolicyError, Problems
from casb.model.activity import ActivityType
from casb.policy.loader import Loaded, load

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))
EXPECTED = {
    block.split(".yaml", 1)[0] + ".yaml": block.splitlines()
    for block in (BROKEN / "expected.txt").read_text(encoding="utf-8").strip().split("\n\n")
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_file_says_exactly_what_is_wrong(path: Path) -> None:
    with pytest.raises(Problems) as caught:
        load({path.name: path.read_bytes()}, known_apps=["files", "flows"])
    assert str(caught.value).splitlines() == EXPECTED[path.name]


def test_the_corpus_is_whole() -> None:
    assert {path.name for path in FILES} == set(EXPECTED)


def messages(*texts: str, **more: object) -> list[str]:
    with pytest.raises(Problems) as caught:
        load({f"{name}.yaml": text.encode() for name, text in zip("abc", texts, strict=False)}, **more)  # type: ignore[arg-type]
    assert all(isinstance(error, PolicyError) for error in caught.value.errors)
    return [str(error) for error in caught.value.errors]


HEAD = "version: 1\npolicies:\n"


def test_errors_of_all_files_come_together() -> None:
    assert messages(HEAD + "  - {id: x}", HEAD + "  - {id: y, action: blok}", HEAD + "  - {id: ok, action: block}") == [
        "a.yaml:3:5: P015 key 'action' is missing; add it under 'policies'",
        "b.yaml:3:21: P014 unknown action 'blok'; did you mean 'block'?",
    ]


def test_ids_are_unique_over_all_files() -> None:
    assert messages(HEAD + "  - {id: x, action: audit}", HEAD + "  - {id: x, action: block}") == [
        "b.yaml:3:10: P030 policy id 'x' is used twice; the first one is at a.yaml:3:10; ids are unique in the folder"
    ]


def test_apps_are_checked_only_when_it_is_known_which_there_are() -> None:
    text = HEAD + "  - {id: x, action: audit, apps: [flies]}"
    assert messages(text, known_apps=["files"]) == ["a.yaml:3:35: P031 unknown app 'flies'; did you mean 'files'?"]
    assert load({"a.yaml": text.encode()}).policies[0].apps == ("flies",)


@pytest.mark.parametrize(
    ("policy", "warnings"),
    [
        ("{id: x, action: audit, when: {client: {ip_tag: [tor, vpn]}}}", [
            "a.yaml:3:58: P051 no address range has the tag 'vpn'; known: office, tor"]),
        ("{id: x, action: audit, activities: [copy, cut], when: {file: a*}}", [
            "a.yaml:3:60: P050 the policy can never match: copy, cut concerns no file"]),
        ("{id: x, action: audit, activities: [copy, print], when: {file: a*}}", []),
        ("{id: x, action: audit, when: {app: {risk_score: {at_least: 5, at_most: 3}}}}", [
            "a.yaml:3:41: P050 the condition on 'risk_score' can never hold: "
            "its lower bound lies above its upper bound"]),
        ("{id: x, action: audit, when: {file: {size: {more_than: 1MB, at_most: 1KB}}}}", [
            "a.yaml:3:42: P050 the condition on 'size' can never hold: its lower bound lies above its upper bound"]),
        ("{id: x, action: audit, when: {file: {size: {more_than: 1KB, at_most: 1MB}}}}", []),
        ("{id: x, action: audit, when: {client: {country: {any_of: [DE], not: [de, AT]}}}}", [
            "a.yaml:3:44: P050 the condition on 'country' can never hold: "
            "every value that it allows is excluded again"]),
        ("{id: x, action: audit, when: {client: {country: {is_set: false, any_of: DE}}}}", [
            "a.yaml:3:44: P050 the condition on 'country' can never hold: "
            "it asks for an absent fact and for its value"]),
        ("{id: x, action: audit, when: {device: {tag: {any_of: compliant, not: compliant}}}}", []),
    ],
)  # fmt: skip
def test_suspicions_are_warnings(policy: str, warnings: list[str]) -> None:
    loaded = load({"a.yaml": f"{HEAD}  - {policy}".encode()}, ip_tags=["tor", "office"])
    assert [str(each) for each in loaded.warnings] == warnings


def test_places_and_reach_of_a_good_policy() -> None:
    text = """version: 1
policies:
  - id: b
    kind: access
    action: block
  - id: a
    activities: download
    unscannable: block
    action: audit
"""
    a, b = load({"a.yaml": text.encode()}).policies
    assert (a.document.id, b.document.id) == ("a", "b")
    assert a.activities == (ActivityType.DOWNLOAD,)
    assert b.activities == (ActivityType.LOGON,)
    assert str(a.origins.policy) == "a.yaml:6:9"
    assert str(a.origins.activities) == "a.yaml:7:5"
    assert str(a.origins.unscannable) == "a.yaml:8:5"
    (every,) = load({"a.yaml": (HEAD + "  - {id: a, action: audit}").encode()}).policies
    assert ActivityType.LOGON not in every.activities
    assert len(every.activities) == len(ActivityType) - 1


def test_large_files_are_refused_before_they_are_parsed() -> None:
    text = HEAD + "".join(f"  - {{id: p{number}, action: audit}}\n" for number in range(100))
    (message,) = messages(text, limit=1000)
    assert message.startswith("a.yaml: P004 ")
    started = time.process_time()
    assert messages("#" * 50_000_000)[0].startswith("a.yaml: P004 ")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "x: " + "[" * 500_000,
        "x: " + "{a: " * 200_000,
        HEAD + "  - {id: a, when: " + "{not: " * 100_000,
        "- " * 400_000,
        HEAD + "  - {" + ", ".join(f"k{n}: {n}" for n in range(50_000)) + "}",
        HEAD + "  - {id: a, action: " + "x" * 900_000 + "}",
        HEAD + "  - {id: a, " + "x" * 900_000 + ": 1}",
        HEAD + "  - " + ": {" * 300_000,
    ],
)  # fmt: skip
def test_bombs_are_harmless(text: str) -> None:
    started = time.process_time()
    found = messages(text)
    assert time.process_time() - started < 10
    assert 0 < len(found) <= 101
    assert max(map(len, found)) < 2000


WORDS = st.sampled_from(
    "id name kind when apps activities action alert user device client file app any all not name tag ip size group "
    "is_set any_of at_least regex block audit unmanaged 10MB 192.0.2.0/24 files download NO true 7 * ''".split()
)
TREES = st.recursive(
    st.one_of(WORDS, st.integers(-5, 5), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)


def as_yaml(tree: object) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"'{key}': {as_yaml(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(as_yaml, tree)) + "]"
    if isinstance(tree, str):
        return '"' + tree + '"'
    return "null" if tree is None else str(tree).lower()


@settings(max_examples=200, deadline=None)
@given(TREES, st.booleans())
def test_any_tree_gives_policies_or_located_errors(tree: object, under_when: bool) -> None:
    policy = f"{{id: a, action: audit, when: {as_yaml(tree)}}}" if under_when else as_yaml(tree)
    try:
        loaded = load({"a.yaml": f"{HEAD}  - {policy}".encode()}, known_apps=["files"], ip_tags=["tor"])
    except Problems as problems:
        assert problems.errors
        assert all(isinstance(error, PolicyError) and error.where for error in problems.errors)
    else:
        assert isinstance(loaded, Loaded)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 400), st.binary(max_size=3))
def test_damaged_files_give_errors_and_never_raise_anything_else(path: Path, at: int, damage: bytes) -> None:
    text = path.read_bytes()
    try:
        load({"a.yaml": text[:at] + damage + text[at + 1 :]})
    except Problems as problems:
        assert all(isinstance(error, PolicyError) for error in problems.errors)


def test_an_edit_of_one_file_reads_that_one_alone() -> None:
    files = {
        f"{name}.yaml": f"version: 1\npolicies: [{{id: {name}, action: audit, apps: files}}]".encode() for name in "ab"
    }
    before = load(files, known_apps=["files"])
    files["b.yaml"] = files["b.yaml"].replace(b"audit", b"block")
    after = load(files, known_apps=["files"])
    assert after.policies[0] is before.policies[0]
    assert after.policies[1].document.action == "block"
    with pytest.raises(Problems):  # What it was checked against has changed.
        load(files, known_apps=["others"])
