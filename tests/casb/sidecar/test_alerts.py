"""The alerts pages and `/v1/alerts`."""

import orjson
import pytest

from asgi_client import Client
from casb.sidecar.ingest import take
from casb.sidecar.services import Services
from portal_user import csrf_in
from sample_records import record


@pytest.fixture
def raised(services: Services) -> str:
    """One alert, as it comes with the records of a proxy; its id."""
    alert = {"policy": "no-payroll", "severity": "high", "title": "<b>Payroll</b> left", "daily_limit": 5, "email": []}
    lines = [record(number) | {"alerts": [alert]} for number in (1,)]
    batch = b"\n".join(orjson.dumps(line) for line in lines)
    take(batch, services.records, services.alerts)
    take(batch, services.records, services.alerts)
    (found,) = services.alerts.query()
    assert found.count == 1, "a batch that is sent again raises nothing twice"
    return found.id


def test_the_list(grace: Client, raised: str) -> None:
    page = grace.get("/alerts").text
    assert "Open: 1 high." in page
    assert "&lt;b&gt;Payroll&lt;/b&gt; left" in page and "<b>Payroll</b> left" not in page
    assert grace.get("/alerts", params={"state": "closed"}).text.count("/alerts/" + raised) == 0


def test_one_alert_and_its_activity(grace: Client, raised: str) -> None:
    page = grace.get(f"/alerts/{raised}").text
    assert f"/activities/{record(1)['id']}" in page
    assert "/policies/no-payroll" in page


def test_closing_is_audited(grace: Client, services: Services, raised: str) -> None:
    page = grace.get(f"/alerts/{raised}")
    form = {"csrf": csrf_in(page), "state": "false_positive", "comment": "a <drill>"}
    assert grace.post(f"/alerts/{raised}", data=form).status_code == 303
    shown = grace.get(f"/alerts/{raised}").text
    assert "closed: false positive by grace: a &lt;drill&gt;" in shown
    assert services.portal.audit(limit=1)[0].detail == {"alert": raised, "state": "false_positive"}


@pytest.mark.parametrize(
    ("form", "status"),
    [({"state": "benign"}, 403), ({"state": "nonsense", "csrf": "real"}, 422)],
)
def test_what_is_refused(grace: Client, raised: str, form: dict[str, str], status: int) -> None:
    if form.get("csrf"):
        form["csrf"] = csrf_in(grace.get("/alerts"))
    assert grace.post(f"/alerts/{raised}", data=form).status_code == status


def test_the_api(grace: Client, raised: str) -> None:
    (found,) = grace.get("/v1/alerts", params={"state": "open"}).json()["alerts"]
    assert (found["id"], found["policy"], found["state"]) == (raised, "no-payroll", "open")
    assert grace.get(f"/v1/alerts/{raised}").json()["alert"]["activities"] == [record(1)["id"]]
    assert grace.get("/v1/alerts/none").status_code == 404
    assert grace.get("/v1/alerts", params={"cursor": "x"}).status_code == 400


@pytest.mark.parametrize("path", ["/alerts", "/alerts/x", "/v1/alerts", "/v1/alerts/x"])
def test_strangers_see_nothing(client: Client, path: str) -> None:
    assert client.get(path).status_code in (303, 401)
