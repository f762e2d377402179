from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from casb.catalog.overlay import NOTHING, Overlay
from casb.model.app import AppTag
from casb.store.catalog_sqlite import Actor, CatalogStore
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database
from catalog_support import NOW, app

ADA = Actor(who="ada")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "casb.db")
    yield made
    made.close()


def test_a_change_that_fails_leaves_nothing(database: Database) -> None:
    store = CatalogStore(database)
    with pytest.raises(RuntimeError), store.changing(ADA, NOW) as change:
        change.set_tag("a", AppTag.SANCTIONED, None)
        raise RuntimeError
    assert store.version() == 0
    assert store.local().states == {}
    assert PortalStore(database).audit() == []


def test_a_change_of_nothing_makes_no_version(database: Database) -> None:
    store = CatalogStore(database)
    with store.changing(ADA, NOW):
        pass
    assert store.version() == 0
    with store.changing(ADA, NOW) as change:
        change.put_overlay("a", Overlay(name="x"))
        change.put_added(app("b", "b.example", saml=True))
    assert store.version() == 1
    local = store.local()
    assert local.overlays == {"a": Overlay(name="x")}
    assert local.added["b"].value("saml") is True
    with store.changing(ADA, NOW) as change:
        assert change.overlay("a") == Overlay(name="x")
        change.put_overlay("a", NOTHING)
    assert store.local().overlays == {}


def test_deleting_an_app_takes_what_was_said_of_it(database: Database) -> None:
    store = CatalogStore(database)
    with store.changing(ADA, NOW) as change:
        change.put_added(app("b", "b.example"))
        change.set_tag("b", AppTag.UNSANCTIONED, None)
        change.put_override("b", 3, "")
        change.put_custom_tag("T", "")
        change.add_tag("b", "t")
    assert store.local().states["b"].custom == {"T"}
    with store.changing(ADA, NOW) as change:
        assert change.delete_added("b") == 1
    local = store.local()
    assert (local.added, local.states, local.overrides) == ({}, {}, {})


def test_scores_tell_what_changed(database: Database) -> None:
    store = CatalogStore(database)
    assert store.put_scores({"a": 1.5, "b": None}) == 2
    assert store.put_scores({"a": 1.5, "b": 2.0}) == 1
    assert store.put_scores({"b": 2.0}) == 0
    assert store.scores() == {"b": 2.0}


def test_a_host_is_probed_once_in_a_while(database: Database) -> None:
    store = CatalogStore(database)
    assert store.may_probe("a.example", NOW, 60)
    assert not store.may_probe("a.example", NOW + timedelta(seconds=59), 60)
    assert store.may_probe("b.example", NOW, 60)
    assert store.may_probe("a.example", NOW + timedelta(seconds=60), 60)


def test_version_is_held_while_something_is_put_in_force(database: Database) -> None:
    store = CatalogStore(database)
    with store.alone() as version:
        assert version == store.version() == 0
