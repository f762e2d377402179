"""People whose token leaves their groups out, and contexts that nothing guards: a sign-in at the emulated Entra, which
asks its Graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proxy_world import wait_for
from wire_world import CLIENT, EntraSite, entra_site

STAFF = "5a1e0c1e-0000-4000-8000-0000000057af"
FINANCE = "5a1e0c1e-0000-4000-8000-00000000f1a0"
POLICIES = f"""
version: 1
policies:
  - id: not-for-finance
    kind: session
    apps: [files]
    activities: download
    when: {{user: {{group: {FINANCE}}}}}
    action: block
    unscannable: match
  - id: pilots-only
    kind: session
    apps: [files]
    activities: download
    when: {{user: {{group: Pilot}}, not: {{device: compliant}}}}
    action: audit
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraSite]:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "proxy" / "config").mkdir(parents=True)
    (folder / "proxy" / "config" / "groups.csv").write_text("group,member\nPilot,ben@contoso.example\n")
    lines = {"groups_file": "groups.csv", "scope": "{exclude: [{users: [cleo@contoso.example]}]}"}
    with entra_site(folder, policies=POLICIES, **lines) as made:
        path = made.proxy.config / "casb.yaml"
        graph = (
            f"    device: {{compliant: [c1, c9]}}\n    graph:\n      client_id: {CLIENT}\n"
            f"      client_secret: env:CASB_TEST_SECRET\n      url: {made.entra.base}/graph\n"
            f"      ca: {made.entra.ca}\n"
        )
        text = path.read_text().replace("    device: {compliant: [c1]}\n", graph)
        assert graph in text
        made.proxy.stop()
        made.proxy.write("casb.yaml", text)
        made.proxy.start()
        made.proxy.origin.page("/", b"<h1>Company files</h1>", content_type="text/html")
        made.proxy.origin.page(
            "/x.bin", b"x", content_type="application/octet-stream", content_disposition="attachment"
        )
        wait_for(lambda: "conditionalAccess" in str(made.entra.call("GET", "/requests")), "the look at the policies")
        yield made


@pytest.fixture(autouse=True)
def fresh(site: EntraSite) -> Iterator[None]:
    yield
    site.entra.call("DELETE", "/faults")
    for name in ("ada", "ben"):
        changes = {"groups_overage": False, "deleted": False}
        site.entra.call("POST", f"/users/{name}@contoso.example", changes)


def download(site: EntraSite, name: str) -> dict[str, Any]:
    """The record of somebody's download, after a sign-in of their own."""
    someone = site.browser()
    answer = site.sign_in(someone, f"{name}@contoso.example", someone.send(site.url("/")))
    assert answer.status_code == 200, answer.text
    before = len(site.proxy.records())
    someone.send(site.url("/x.bin"))
    found = wait_for(
        lambda: [each for each in site.proxy.records()[before:] if each["activity"] == "download"], "the record"
    )
    record: dict[str, Any] = found[0]
    return record


@pytest.mark.parametrize("form", [True, "hasgroups"])
def test_groups_that_a_token_leaves_out_are_looked_up(site: EntraSite, form: bool | str) -> None:
    for name, action in (("ada", "block"), ("ben", "audit")):
        site.entra.call("POST", f"/users/{name}@contoso.example", {"groups_overage": form})
        record = download(site, name)
        assert record["action"] == action
        assert record["user"]["groups_known"] is True
        assert (FINANCE in record["user"]["groups"]) is (name == "ada")
    asked = site.entra.call("GET", "/graph")
    assert {tuple(each["groupIds"]) for each in asked} == {(FINANCE,)}


def test_whom_the_directory_knows_no_more_does_not_get_in(site: EntraSite) -> None:
    site.entra.call("POST", "/users/admin@contoso.example", {"groups_overage": True, "deleted": True})
    someone = site.browser()
    answer = site.sign_in(someone, "admin@contoso.example", someone.send(site.url("/")))
    assert answer.status_code == 400
    assert "I041" in answer.text


def test_a_context_that_nothing_guards_gives_no_tag_and_is_told(site: EntraSite) -> None:
    managed = download(site, "ada")
    assert managed["device"]["sources"] == {"compliant": "acrs:c1"}  # c9 was given as well: Entra does so
    told = [each["fact"] for record in site.proxy.records() for each in record["reasons"] if each["code"] == "I042"]
    assert told
    assert "c9 (compliant)" in told[0]


def test_people_out_of_scope_are_not_recorded_unless_a_policy_is_about_them(site: EntraSite) -> None:
    someone = site.browser()
    answer = site.sign_in(someone, "cleo@contoso.example", someone.send(site.url("/")))
    assert answer.status_code == 200
    someone.send(site.url("/x.bin"))
    assert [each for each in site.proxy.records() if (each["user"] or {}).get("name") == "cleo@contoso.example"] == []


def test_an_outage_exempts_nobody(site: EntraSite) -> None:  # the last one: Graph is left alone for seconds after it
    site.entra.call("POST", "/faults", {"path": "/graph", "status": 503})
    site.entra.call("POST", "/users/dan@contoso.example", {"groups_overage": True})
    record = download(site, "dan")
    assert (record["action"], record["user"]["groups_known"]) == ("block", False)
