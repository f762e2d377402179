"""The portal's pages on policies, over a real folder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from asgi_client import Client
from casb.config import Configuration
from casb.settings import Secret, Settings
from casb.sidecar import budgets
from casb.sidecar.app import build_app
from casb.sidecar.deployment import FolderDeployment
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store.alerts_sqlite import AlertStore, NewAlert
from casb.store.folder import load
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords
from live_sidecar import APP
from portal_user import set_up
from sample_records import START, record
from sidecar_parts import TOKEN, Hands

POLICY = """version: 1
policies:
  # Salaries, first of all.
  - id: no-downloads
    name: Nothing leaves
    activities: download
    action: audit
    rollout: shadow

  - id: second
    activities: copy
    action: block
    budget: {blocks: 3}
"""
CASES = """policies: [../p.yaml]
cases:
  - {name: copying is refused, given: {activity: copy}, expect: {action: block}}
  - {name: and so it is not, given: {activity: copy}, expect: {action: audit}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: ../var\n")
    (folder / "apps/files.yaml").write_text(APP)
    (folder / "p.yaml").write_text(POLICY)
    (folder / "tests/p_test.yaml").write_text(CASES)
    (tmp_path / "var").mkdir()
    return folder


@pytest.fixture
def configuration(folder: Path) -> Configuration:
    return load(folder)


@pytest.fixture
def settings(configuration: Configuration) -> Settings:
    return configuration.settings


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def services(folder: Path, configuration: Configuration, clock: Hands) -> Iterator[Services]:
    database = Database(Path(configuration.settings.data) / "casb.db")
    yield Services(
        settings=configuration.settings,
        records=SqliteRecords(database),
        portal=PortalStore(database),
        alerts=AlertStore(database),
        deployment=FolderDeployment(folder, configuration, clock),
        ingest_token=Secret(TOKEN),
        clock=clock,
    )
    database.close()


@pytest.fixture
def ada(services: Services) -> Iterator[Client]:
    client = Client(build_app(services), "http://127.0.0.1:8090")
    code = first_run_code(services.settings, services.portal)
    assert code
    assert set_up(client, code).status_code == 303
    yield client
    client.close()


def csrf(client: Client) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/policies").text)
    assert found
    return found[1]


def test_one_policy_in_full(ada: Client, services: Services) -> None:
    line = record(1) | {"matched": ["no-downloads"], "time": (services.clock() - timedelta(hours=1)).isoformat()}
    services.records.append([line])
    text = ada.get("/policies/no-downloads").text
    for told in (
        "<h1>Nothing leaves</h1>",
        "Records download in every app (shadow).",
        "p.yaml:4",
        '<span class="number">6</span>     activities: download',
        "1 in all",
    ):
        assert told in text, told
    assert "Salaries" not in text, "the comment before the first policy belongs to the file"
    assert "- id: second" not in text, "another policy"


def test_matches_of_an_activity_policy_are_its_alerts(ada: Client, services: Services, folder: Path) -> None:
    (folder / "a.yaml").write_text("version: 1\npolicies:\n  - {id: again, kind: activity, action: audit}\n")
    met = NewAlert(
        time=services.clock() - timedelta(hours=1),
        kind="policy",
        policy="again",
        severity="low",
        title="x",
        daily_limit=1,
    )
    services.alerts.raise_all([replace(met, activity=str(number), key=str(number)) for number in range(4)])
    assert '<a href="/alerts?state=&amp;policy=again">4</a>' in ada.get("/policies").text
    page = ada.get("/policies/again").text
    assert '<a href="/alerts?state=&amp;policy=again">4</a>' in page and "4 in all" in page


def test_its_tests_are_run(ada: Client) -> None:
    text = ada.get("/policies/second").text
    assert 'copying is refused <code>tests/p_test.yaml:3:5</code> <span class="tag good">passes' in text
    assert 'and so it is not <code>tests/p_test.yaml:4:5</code> <span class="tag bad">fails' in text


def test_its_history_comes_from_git(ada: Client, folder: Path) -> None:
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin <b>well</b>"]):
        identity = ["-c", "user.name=Ada", "-c", "user.email=a@example.test"]
        subprocess.run(["git", "-C", str(folder), *identity, *command], check=True)
    text = ada.get("/policies/second").text
    assert "Begin &lt;b&gt;well&lt;/b&gt;" in text and "<td>Ada</td>" in text


def test_a_policy_that_is_not_there(ada: Client) -> None:
    assert ada.get("/policies/nothing").status_code == 404


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (POLICY.replace("action: audit", "action: audt"), {"code": "P014", "line": 7, "column": 13}),
        ("", {"code": "P018"}),
        (POLICY.replace("id: no-downloads", "id: second"), {"code": "P030"}),
    ],
)
def test_checked_while_one_types(ada: Client, text: str, told: dict[str, object]) -> None:
    answer = ada.post("/policies/check", data={"csrf": csrf(ada), "name": "p.yaml", "text": text})
    error = answer.json()["errors"][0]
    assert {key: error[key] for key in told} == told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{id: n, activities: download, action: {type: protect, label: Nowhere}}", "P041"),
        ("{id: n, activities: download, action: block, when: {file: {findings: no-such-type}}}", "P014"),
        ("{id: n, kind: discovery, when: {category: cloud_storag}}", "P0"),
        ("{id: second, kind: discovery}", "P030"),
    ],
)
def test_a_draft_is_checked_against_what_the_deployment_has(ada: Client, folder: Path, entry: str, told: str) -> None:
    text = f"version: 1\npolicies:\n  - {entry}\n"
    answer = ada.post("/policies/check", data={"csrf": csrf(ada), "name": "n.yaml", "text": text}).json()
    assert [each["code"] for each in answer["errors"] if each["code"].startswith(told)], answer
    (folder / "n.yaml").write_text(text)
    assert told in ada.get("/policies").text, "the folder's own page says the same"


def test_a_draft_may_name_what_the_deployment_has(ada: Client) -> None:
    text = "version: 1\npolicies:\n  - {id: n, kind: discovery, name: Many users, daily: {users: 5}}\n"
    answer = ada.post("/policies/check", data={"csrf": csrf(ada), "name": "n.yaml", "text": text}).json()
    assert (answer["errors"], answer["policies"]) == ([], ["watches apps in Cloud Discovery: Many users"])


def test_a_broken_file_can_be_opened_to_be_mended(ada: Client, folder: Path) -> None:
    (folder / "broken.yaml").write_text("version: 1\npolicies:\n  - {id: x, action: blok}\n")
    assert 'href="/policies/try?file=broken.yaml"' in ada.get("/policies").text
    assert "action: blok" in ada.get("/policies/try?file=broken.yaml").text
    assert "casb.yaml" not in ada.get("/policies/try?file=casb.yaml").text


def test_what_is_well_is_told_in_words(ada: Client) -> None:
    text = POLICY.replace("action: audit", "action: block").replace("rollout: shadow", "when: {device: unmanaged}")
    answer = ada.post("/policies/check", data={"csrf": csrf(ada), "name": "p.yaml", "text": text}).json()
    assert answer["errors"] == []
    assert "blocks download in every app when device: unmanaged" in answer["policies"]


def test_last_week_under_a_change(ada: Client, services: Services, folder: Path) -> None:
    services.records.append([record(number) for number in range(200)])
    change = POLICY.replace("rollout: shadow", "enabled: true").replace("action: audit", "action: block")
    answer = ada.post("/policies/preview", data={"csrf": csrf(ada), "name": "p.yaml", "text": change})
    found = answer.json()
    assert found["total"] + found["left_out"] == 200
    assert found["changed"] == found["tighter"] > 0
    assert {each["what"] for each in found["differences"]} == {
        "blocks where it was: records",
        "rolled out: enforce where it was shadow",
    }
    assert (folder / "p.yaml").read_text() == POLICY, "nothing is saved"


@pytest.mark.parametrize("path", ["/policies/check", "/policies/preview", "/policies/second/reinstate"])
def test_forged_forms_are_refused(ada: Client, path: str) -> None:
    assert ada.post(path, data={"csrf": "wrong", "text": POLICY}).status_code == 403


def test_a_policy_beyond_its_budget_and_back(ada: Client, services: Services, clock: Hands) -> None:
    clock.now = START + timedelta(hours=1)
    refused = [
        record(number) | {"action": "block", "policy": "second", "matched": ["second"], "activity": "copy"}
        for number in range(4)
    ]
    services.records.append(refused)
    (found,) = budgets.look(services)
    assert found.why == "it refused 4 activities within 24h, more than 3"
    assert budgets.look(services) == [], "once"
    text = ada.get("/policies").text
    assert "second is in shadow:" in text and "beyond its budget" in text
    assert ada.post("/policies/second/reinstate", data={"csrf": csrf(ada)}).status_code == 303
    assert budgets.withdrawn(services) == []
    assert budgets.look(services) == [], "what was refused before counts no more"
    noted = [(each.what, each.detail.get("policy")) for each in services.portal.audit(limit=2)]
    assert noted == [("policy put back in force", "second"), ("policy put into shadow", "second")]


def test_changed_text_is_a_new_policy(services: Services, folder: Path) -> None:
    services.records.append(
        [
            record(number) | {"action": "block", "policy": "second", "matched": ["second"], "activity": "copy"}
            for number in range(4)
        ]
    )
    assert budgets.look(services)
    (folder / "p.yaml").write_text(POLICY.replace("blocks: 3", "blocks: 30"))
    assert budgets.withdrawn(services) == []
    assert budgets.look(services) == []


def test_what_would_have_turned_a_decision(ada: Client, services: Services, folder: Path) -> None:
    text = POLICY.replace("rollout: shadow", "when: {device: unmanaged}").replace("action: audit", "action: block", 1)
    (folder / "p.yaml").write_text(text)
    line = record(1) | {"activity": "download", "action": "block", "policy": "no-downloads"}
    line["device"] = {**line["device"], "tags": []}
    services.records.append([line])
    page = ada.get(f"/activities/{line['id']}").text
    assert "What would have turned it" in page
    assert "<code>device.tag</code> were <b>compliant</b> (is: no device tags): then allowed" in page
    assert "switch &#39;no-downloads&#39; off, or put it in shadow" in page
