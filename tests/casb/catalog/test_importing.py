from dataclasses import replace
from typing import Any

import pytest

from casb.catalog.exporting import to_csv, to_json, to_yaml
from casb.catalog.importing import Plan, What, describe, plan
from casb.catalog.inventory import Inventory, Local
from casb.catalog.known import Origin, Source
from casb.catalog.overlay import apply
from casb.catalog.tables import read_rows
from casb.catalog.tagging import TagState
from casb.model.app import AppTag
from catalog_support import app, inventory

BOX = app("box", "box.com", "*.box.com", saml=True, latest_breach="2020-01-01")
CRM = app("crm", "crm.example", category="crm")


def planned(text: str, base: Inventory | None = None, kind: What = What.APPS, local: Local | None = None) -> Plan:
    base = base or inventory(BOX, CRM, local=local)
    rows = read_rows(text.encode(), "t.csv", "csv")
    return plan(rows, base, local.overlays if local else {}, kind, by="ada", at="2026-03-02T12:00:00.000Z")


def changed(found: Plan) -> list[tuple[str, str, Any, Any]]:
    return [(each.app, each.field, each.old, each.new) for each in found.differences]


def test_a_new_app_and_changes_to_a_known_one() -> None:
    found = planned(
        "id,name,category,domains,SAML,SOC 2\nnew,New,crm,new.example,yes,\nbox,,,box.example,yes,yes\n".replace(
            "SAML", "saml"
        )
    )
    assert found.errors == ()
    (new,) = found.added
    assert (new.id, new.origin, new.facts["saml"].source, new.facts["saml"].by) == (
        "new",
        Origin.IMPORTED,
        Source.IMPORT,
        "ada",
    )
    assert changed(found) == [
        ("new", "app", None, "New"),
        ("box", "domains", None, ["box.example"]),
        ("box", "soc_2", None, True),
    ]
    seen = apply(BOX, found.overlays["box"])
    assert (seen.value("soc_2"), seen.value("saml"), seen.domains[-1]) == (True, True, "box.example")
    assert next(iter(describe(found))) == "+ new: New"


def test_the_same_again_changes_nothing() -> None:
    text = "id,name,category,domains,soc_2\nnew,New,crm,new.example,yes\nbox,,,box.example,yes\n"
    first = planned(text)
    local = Local(added={each.id: each for each in first.added}, overlays=dict(first.overlays))
    second = planned(text, local=local)
    assert second.empty
    assert (second.same, second.errors) == (2, ())


def test_an_imported_app_is_replaced_by_its_key() -> None:
    local = Local(
        added={each.id: each for each in planned("id,name,category,domains\nnew,New,crm,new.example\n").added}
    )
    found = planned("id,domains,soc_2\nnew,newer.example,no\n", local=local)
    assert changed(found) == [
        ("new", "domains", ["new.example"], ["newer.example"]),
        ("new", "soc_2", None, False),
    ]
    assert found.replaced[0].name == "New"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,,crm,x.example,,", "has no name"),
        ("x,X,,x.example,,", "has no category"),
        ("x,X,crm,,,", "has no domain"),
        ("x,X,krm,x.example,,", "'krm' is no category; did you mean 'crm'?"),
        ("x,X,crm,*.com,,", "covers a whole"),
        ("x,X,crm,box.com,,", "'box.com' belongs to 'box'"),
        ("X_1,X,crm,x.example,,", "is not an id"),
        ("x,X,crm,x.example,11,", "a score is 0 to 10"),
        ("x,X,crm,x.example,,forbidden", "'forbidden' cannot be the tag"),
    ],
)
def test_a_wrong_row_is_told_with_its_line_and_nothing_is_taken(row: str, message: str) -> None:
    found = planned(f"id,name,category,domains,score,tag\n{row}\n")
    assert any(message in str(error) and "t.csv:2" in str(error) for error in found.errors), found.errors


def test_the_same_app_or_domain_twice() -> None:
    found = planned("id,name,category,domains\nx,X,crm,x.example\nx,X,crm,y.example\nz,Z,crm,x.example\n")
    assert ["is here twice" in str(error) or "belongs to 'x'" in str(error) for error in found.errors] == [True, True]


def test_tags_and_custom_apps() -> None:
    found = planned(
        "id,name,category,domains,custom,score,tag\nown,Own,crm,own.example,yes,7,sanctioned\nbox,,,,,,unsanctioned\n"
    )
    assert found.tags == {"own": AppTag.SANCTIONED, "box": AppTag.UNSANCTIONED}
    assert (found.added[0].origin, found.added[0].fixed_score) == (Origin.CUSTOM, 7)
    protected = planned("id,tag\nbox,unsanctioned\n", inventory(BOX, own=["box.com"]))
    assert "cannot be unsanctioned" in str(protected.errors[0])


def test_an_attestation() -> None:
    text = 'name,attested_by,attested_on,saml,iso_27001,data_types\nBox,"Eve, CISO",Mar-01-2026,yes,yes,documents;media_files\n'
    found = planned(text, kind=What.ATTESTATION)
    seen = apply(BOX, found.overlays["box"])
    assert (seen.attested_by, seen.attested_on) == ("Eve, CISO", "2026-03-01")
    saml = seen.facts["saml"]
    assert (saml.source, saml.by, saml.as_of) == (Source.ATTESTATION, "Eve, CISO", "2026-03-01")
    assert seen.value("data_types") == ("documents", "media_files")
    again = planned(text, kind=What.ATTESTATION, local=Local(overlays=dict(found.overlays)))
    assert again.empty
    assert "there is no app 'nobody'" in str(planned("id,saml\nnobody,yes\n", kind=What.ATTESTATION).errors[0])


def test_breaches() -> None:
    text = (
        "domain,date,records,reference\nwww.box.com,2025-02-03,100,https://x.example/1\nbox.com,2024-01-01,,\n"
        "crm.example,Jan-05-2019,,\n"
    ).replace("date", "breach_date")
    found = planned(text, kind=What.BREACHES)
    assert found.errors == ()
    box = apply(BOX, found.overlays["box"])
    assert (box.value("latest_breach"), box.facts["latest_breach"].evidence) == (
        "2025-02-03",
        "https://x.example/1 (100 records)",
    )
    assert apply(CRM, found.overlays["crm"]).value("latest_breach") == "2019-01-05"
    assert planned(text, kind=What.BREACHES, local=Local(overlays=dict(found.overlays))).empty


FULL = inventory(
    app("a", "a.example", "*.a.example", "b.example/x", saml=True, hipaa="n/a", founded=2007, data_types=["documents"],
        password_policy={"length_limit": True}, consumer_popularity=7, pci_dss_version="3.2.1", headquarters="NO",
        latest_breach="2024-04-24", homepage="https://a.example/"),
    replace(app("b", "b.example", vendor="=cmd()"), addresses=("192.0.2.0/24",), also=("crm",), mdca_id=12345,
            about="a, b; c"),
    replace(app("c", "c.example"), origin=Origin.CUSTOM, fixed_score=3, business_unit="Sales", hosting_platform="aws"),
    local=Local(states={"a": TagState(tag=AppTag.MONITORED)}),
)  # fmt: skip


@pytest.mark.parametrize(("form", "write"), [("csv", to_csv), ("json", to_json), ("yaml", to_yaml)])
def test_what_is_exported_can_be_imported_again(form: str, write: Any) -> None:
    text = b"".join(write(FULL))
    rows = read_rows(text, "t", form)
    assert [row.problems for row in rows] == [(), (), ()]
    same = plan(rows, FULL, {}, by="x", at="2026-01-01T00:00:00Z")
    assert (same.errors, same.differences, same.same) == ((), (), 3)
    elsewhere = plan(rows, inventory(CRM), {}, by="x", at="2026-01-01T00:00:00Z")
    assert elsewhere.errors == ()
    for made in elsewhere.added:
        original = FULL.entries[made.id].app
        assert {name: fact.value for name, fact in made.facts.items()} == {
            name: fact.value for name, fact in original.facts.items()
        }
        for name in ("name", "vendor", "about", "category", "also", "domains", "addresses", "mdca_id", "business_unit"):
            assert getattr(made, name) == getattr(original, name)
        assert made.custom == original.custom
    assert elsewhere.tags == {"a": AppTag.MONITORED}
