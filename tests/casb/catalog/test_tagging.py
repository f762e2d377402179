import pytest

from casb.catalog.domains import DomainIndex, Layer
from casb.catalog.tagging import (
    Profile,
    TaggedApp,
    TagList,
    carve_outs,
    check_tag_name,
    index_of,
    protected_apps,
    protected_patterns,
    taglist_from_plain,
    taglist_to_plain,
)
from casb.errors import CatalogError
from casb.model.app import AppTag

LIST = TagList(
    version=7,
    apps=(
        TaggedApp(
            id="drive",
            name="Drive",
            tag=AppTag.UNSANCTIONED,
            domains=("drive.example", "*.drive.example", "shared.example/drive"),
            addresses=("192.0.2.0/24",),
            profile=Profile(name="p", include=frozenset({"sales"})),
            alternatives=(("box", "Box"),),
        ),
        TaggedApp(id="docs", name="Docs", tag=AppTag.NONE, domains=("docs.drive.example",)),
        TaggedApp(id="chat", name="Chat", tag=AppTag.MONITORED, domains=("chat.example",)),
    ),
    protected=("login.drive.example", "*.casb.example"),
)


@pytest.mark.parametrize(
    ("host", "path", "app", "why"),
    [
        ("drive.example", "/", "drive", "its own host"),
        ("WWW.drive.example:443", "/", "drive", "in any spelling"),
        ("docs.drive.example", "/", None, "another app's name below it"),
        ("x.docs.drive.example", "/", "drive", "below that name it is its own again"),
        ("login.drive.example", "/", None, "protected"),
        ("login.drive.example:443", "/", None, "protected with a port"),
        ("LOGIN.drive.example.", "/", None, "protected in any spelling"),
        ("a.casb.example", "/", None, "protected by a wildcard"),
        ("chat.example", "/", "chat", "monitored"),
        ("shared.example", "/drive/1", "drive", "by path"),
        ("shared.example", "/else", None, "another path"),
        ("192.0.2.9", "", "drive", "by address"),
        ("other.example", "/", None, "nobody's"),
    ],
)
def test_what_is_enforced(host: str, path: str, app: str | None, why: str) -> None:
    found = index_of(LIST).match(host, path)
    assert (found and found.id) == app, why


def test_round_trip() -> None:
    assert taglist_from_plain(taglist_to_plain(LIST)) == LIST
    assert [app.id for app in LIST.of(AppTag.MONITORED)] == ["chat"]


@pytest.mark.parametrize(
    ("include", "exclude", "groups", "concerned"),
    [
        ([], [], [], True),
        (["a"], [], ["a", "b"], True),
        (["a"], [], ["b"], False),
        ([], ["a"], ["a"], False),
        (["a"], ["b"], ["a", "b"], False),
    ],
)
def test_profiles(include: list[str], exclude: list[str], groups: list[str], concerned: bool) -> None:
    assert Profile(name="p", include=frozenset(include), exclude=frozenset(exclude)).concerns(groups) is concerned


def test_carve_outs() -> None:
    owners = [
        ("docs.drive.example", "docs"),
        ("drive.example", "drive"),
        ("drive.example/free", "free"),
        ("x.test", "x"),
    ]
    found = carve_outs([("drive", ("drive.example", "*.drive.example"))], owners)
    assert found == {"docs": ["docs.drive.example"], "free": ["drive.example/free"]}


def test_who_is_protected() -> None:
    index = DomainIndex(
        Layer(
            [
                ("login.example", "idp"),
                ("*.big.example", "big"),
                ("mdm.big.example", "mdm"),
                ("cdn.update.example", "cdn"),
                ("other.example", "other"),
            ]
        )
    )
    found = protected_apps(["login.example", "mdm.big.example", "*.update.example", "host.big.example"], index)
    assert found == {
        "idp": "login.example",
        "mdm": "mdm.big.example",
        "big": "host.big.example",
        "cdn": "*.update.example",
    }


def test_the_protected_list() -> None:
    found = protected_patterns(
        ["portal.example"], ["added.example"], ["b.example", "portal.example"], ["a.example", "b.example"]
    )
    assert found == ("portal.example", "a.example", "added.example"), "nobody takes the deployment's own hosts off"


@pytest.mark.parametrize("name", ["Sanctioned", "custom app", "a,b", "", " ", "x" * 61, "a\nb\x00"])
def test_names_no_tag_may_have(name: str) -> None:
    with pytest.raises(CatalogError, match="C222"):
        check_tag_name(name)


def test_a_tags_name_is_trimmed() -> None:
    assert check_tag_name("  Finance   apps ") == "Finance apps"
