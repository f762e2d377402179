"""The shipped signatures: every example of every one of them is a case."""

import json
from urllib.parse import unquote

import pytest

from casb.catalog.products import Entry, Example, Product, product_of, products, read_product, with_product
from casb.catalog.signatures import Match, find, objects_of
from casb.model.activity import RequestFacts
from casb.model.app import App, Signature

CASES = [
    pytest.param(product, entry, example, id=f"{product.id} {entry.id} {number}")
    for product in products().values()
    for entry in product.entries
    for number, example in enumerate(entry.examples)
]


def facts(example: Example) -> RequestFacts:
    method, _, target = example.request.partition(" ")
    path, _, query = target.partition("?")
    names = set()
    for each in query.split("&") if query else ():
        names |= {unquote(each.partition("=")[0]), unquote(each)}
    kind = example.content_type or ("application/json" if example.body is not None else "")
    return RequestFacts(
        method=method,
        scheme="https",
        host="app.example",
        port=443,
        path=path,
        content_type=kind,
        query_names=frozenset(names),
        document=example.body,
    )


def app(product: Product) -> App:
    return with_product(App(id="x", name="X", domains=("app.example",), product=product.id))


@pytest.mark.parametrize(("product", "entry", "example"), CASES)
def test_every_example_is_recognised(product: Product, entry: Entry, example: Example) -> None:
    request = facts(example)
    match = find(app(product), request)
    assert match is not None
    assert (match.signature.id, match.signature.activity) == (entry.id, entry.activity)
    found = {each.type: each.id for each in objects_of(match, request)}
    assert found == {**found, **(example.objects or {})}


@pytest.mark.parametrize("product", products().values(), ids=lambda product: product.id)
def test_every_signature_has_an_id_and_an_example(product: Product) -> None:
    ids = [each.id for each in product.entries]
    assert all(ids) and len(set(ids)) == len(ids)
    assert all(each.examples for each in product.entries)


def test_what_a_body_asks_for_is_not_guessed_without_it() -> None:
    github = app(products()["github"])
    publish = RequestFacts(
        method="PATCH", scheme="https", host="h", port=443, path="/repos/o/r", document={"visibility": "public"}
    )
    unread = RequestFacts(method="PATCH", scheme="https", host="h", port=443, path="/repos/o/r")

    def name(match: Match | None) -> str:
        return match.signature.id if match else ""

    assert name(find(github, publish)) == "repo.publish"
    assert name(find(github, unread)) == "repo.edit"
    assert name(find(github, unread, unread=True)) == "repo.publish"


@pytest.mark.parametrize(
    ("domains", "named", "product"),
    [
        (("contoso.sharepoint.com",), "", "microsoft-365"),
        (("*.slack.com",), "", "slack"),
        (("api.github.com.evil.example",), "", None),
        (("cloud.contoso.example",), "nextcloud", "nextcloud"),
        (("contoso.sharepoint.com",), "none", None),
    ],
)
def test_the_product_of_an_app(domains: tuple[str, ...], named: str, product: str | None) -> None:
    found = product_of(App(id="x", name="X", domains=domains, product=named))
    assert (found.id if found else None) == product


def test_an_apps_own_signatures_come_first() -> None:
    own = Signature(activity="view", path="/flows", methods=frozenset({"POST"}))
    made = with_product(App(id="x", name="X", domains=("f.example",), product="node-red", signatures=(own,)))
    request = RequestFacts(method="POST", scheme="https", host="h", port=443, path="/flows")
    match = find(made, request)
    assert match is not None and match.signature is own


def test_what_is_wrong_in_a_product_is_said() -> None:
    text = json.dumps(
        {"product": "x", "name": "X", "source": "s", "signatures": [{"activity": "share", "path": "api", "id": "a"}]}
    )
    with pytest.raises(ValueError, match="paths start with /"):
        read_product(text)
