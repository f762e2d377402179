from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.signatures import Index, Match, objects_of, path_pattern, pointed, readings_of
from casb.model.activity import RequestFacts
from casb.model.app import ObjectRule, Signature


def ask(method: str, path: str, document: Any = None, **more: Any) -> RequestFacts:
    return RequestFacts(method=method, scheme="https", host="h", port=443, path=path, document=document, **more)


SIGNATURES = (
    Signature(id="item", activity="delete", methods=frozenset({"DELETE"}), path="/items/{item}"),
    Signature(id="child", activity="share", path="/items/{item}/share"),
    Signature(id="glob", activity="edit", path="/files/*.txt"),
    Signature(id="rest", activity="view", path="/tree/{path*}"),
    Signature(id="inner", activity="edit", path="*/_api/web('{site}')/do"),
    Signature(id="named", activity="create", path="/items", query=frozenset({"kind=folder"})),
    Signature(id="flag", activity="edit", path="/items", query=frozenset({"kind"})),
    Signature(id="says", activity="share", path="/graphql", body=(("/operationName", ("Share*", "Invite")),)),
    Signature(id="has", activity="edit", path="/graphql", body=(("/variables/id", ()),)),
    Signature(id="quiet", activity="none", path="/Quiet"),
    Signature(id="any", activity="view", methods=frozenset({"GET"})),
)
INDEX = Index(SIGNATURES)


def found(request: RequestFacts, **more: bool) -> str:
    match = INDEX.find(request, **more)
    return match.signature.id if match else ""


@pytest.mark.parametrize(
    ("request_", "name", "why"),
    [
        (ask("DELETE", "/items/7"), "item", "a place"),
        (ask("DELETE", "/items/7/8"), "", "a place is one segment"),
        (ask("DELETE", "/items/"), "", "and not an empty one"),
        (ask("POST", "/items/7/share"), "child", "a place in the middle"),
        (ask("POST", "/items/7/share/"), "child", "a slash at the end"),
        (ask("POST", "/ITEMS/7/Share"), "child", "case makes no difference to many origins"),
        (ask("POST", "//items/./7//share"), "child", "neither do empty and dot segments"),
        (ask("POST", "/items/x/../7/share"), "child", "nor the way up"),
        (ask("POST", "/items/7/share;v=1"), "child", "nor parameters"),
        (ask("POST", "/items/a%2Fb/share"), "child", "an escaped slash is in a name"),
        (ask("POST", "/items%2F7/share"), "child", "or is a slash"),
        (ask("PUT", "/files/a/b.txt"), "glob", "a glob crosses segments"),
        (ask("PUT", "/files/a.csv"), "", "and must fit"),
        (ask("PUT", "/tree/a/b/c"), "rest", "the rest of the path"),
        (ask("PUT", "/x/_api/web('7')/do"), "inner", "a place inside a segment"),
        (ask("POST", "/items", query_names=frozenset({"kind", "kind=folder"})), "named", "a parameter's value"),
        (ask("POST", "/items", query_names=frozenset({"kind", "kind=x"})), "flag", "a parameter alone"),
        (ask("POST", "/graphql", {"operationName": "ShareFile"}), "says", "what the body says"),
        (ask("POST", "/graphql", [{"a": 1}, {"operationName": "Invite"}]), "says", "one of several"),
        (ask("POST", "/graphql", {"variables": {"id": 0}}), "has", "something is there"),
        (ask("POST", "/graphql", {"variables": {"id": None}}), "", "null is nothing"),
        (ask("POST", "/graphql"), "", "not read"),
        (ask("POST", "/Quiet"), "quiet", "what is exempt"),
        (ask("POST", "/quiet"), "", "is exempt as it is written"),
        (ask("GET", "/whatever"), "any", "the last resort"),
        (ask("POST", "/items/7", override="DELETE"), "item", "a POST that asks to be taken for something else"),
    ],
)
def test_find(request_: RequestFacts, name: str, why: str) -> None:
    assert found(request_) == name, why


def test_what_a_body_decides_counts_as_met_until_it_is_read() -> None:
    assert found(ask("POST", "/graphql"), unread=True) == "says"
    assert INDEX.asks_for(ask("POST", "/graphql")) == {"share", "edit"}
    assert INDEX.asks_for(ask("POST", "/items/7/share")) == frozenset()


@pytest.mark.parametrize(
    ("pointer", "values"),
    [
        ("/a/b", [1]),
        ("/list/*/x", [1, 2]),
        ("/list/1/x", [2]),
        ("/list/9", []),
        ("/a~1b", ["slash"]),
        ("/a/*", [1]),
        ("/none/*", []),
        ("", [{"a": {"b": 1}, "list": [{"x": 1}, {"x": 2}], "a/b": "slash"}]),
    ],
)
def test_pointed(pointer: str, values: list[Any]) -> None:
    assert pointed({"a": {"b": 1}, "list": [{"x": 1}, {"x": 2}], "a/b": "slash"}, pointer) == values


def test_objects() -> None:
    signature = Signature(
        activity="share",
        path="/{kind}/{id*}",
        objects=(
            ObjectRule(type="file", id="{kind}:{id}", name="?name"),
            ObjectRule(type="user", id="/to/*/mail", name="/to/*/name"),
            ObjectRule(type="group", id="/nobody"),
        ),
    )
    request = ask(
        "POST", "/f/a/b", {"to": [{"mail": "a@b.example", "name": "A"}]}, query_names=frozenset({"name=plan"})
    )
    match = Index((signature,)).find(request)
    assert match is not None
    told = [(each.type, each.id, each.name) for each in objects_of(match, request)]
    assert told == [("file", "f:a/b", "plan"), ("user", "a@b.example", "A")]
    assert objects_of(Match(signature=signature, captures={}), ask("POST", "/x", "text")) != ()


def test_a_place_twice_is_wrong() -> None:
    with pytest.raises(ValueError, match="twice"):
        path_pattern("/{a}/{a}")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="/.%2Ffa;=x*é", max_size=20))
def test_any_path_can_be_read(path: str) -> None:
    assert readings_of("/" + path)
    INDEX.find(ask("POST", "/" + path))


SEGMENT = st.sampled_from(["a", "b", "items", "{x}", "7"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(SEGMENT, min_size=1, max_size=3), max_size=6),
    st.lists(st.sampled_from(["a", "b", "items", "7"]), min_size=1, max_size=3),
)
def test_the_index_finds_what_one_after_the_other_finds(paths: list[list[str]], asked: list[str]) -> None:
    signatures = tuple(
        Signature(id=str(at), activity="edit", path="/" + "/".join(f"{{x{n}}}" if each == "{x}" else each for n, each in enumerate(path)))
        for at, path in enumerate(paths)
    )  # fmt: skip
    request = ask("POST", "/" + "/".join(asked))
    slow = next((each.id for each in signatures if path_pattern(each.path).match(request.path)), "")
    match = Index(signatures).find(request)
    assert (match.signature.id if match else "") == slow
