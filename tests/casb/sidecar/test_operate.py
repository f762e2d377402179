"""Health, metrics and the PAC file: for everybody, and telling nothing that is not for everybody."""

from __future__ import annotations

from dataclasses import replace

from asgi_client import Client
from casb.errors import PolicyError
from casb.sidecar.deployment import FileView
from casb.sidecar.services import Services
from sample_records import records
from sidecar_parts import FixedDeployment


def test_live_and_ready(client: Client) -> None:
    assert client.get("/healthz").json() == {"ok": True}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ok": True, "missing": [], "notes": []})


def test_a_broken_edit_is_noted_without_its_text(client: Client, deployment: FixedDeployment) -> None:
    error = PolicyError("P013", "a secret name")
    deployment.present = replace(deployment.present, files=(FileView(name="a.yaml", errors=(error,)),))
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["notes"] == ["1 errors in the configuration; see casb check"]
    assert "casb_configuration_valid 0" in client.get("/metrics").text


def test_without_its_store_it_is_live_and_not_ready(client: Client, services: Services) -> None:
    services.records.close()
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["missing"][0].startswith("store: ")


def test_metrics_name_nobody(client: Client, services: Services) -> None:
    services.records.append(records(20))
    text = client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "casb_records_stored 20" in text.text
    assert "contoso" not in text.text


def test_the_pac_file(client: Client) -> None:
    response = client.get("/proxy.pac")
    assert response.headers["content-type"].startswith("application/x-ns-proxy-autoconfig")
    assert response.headers["cache-control"] == "max-age=60"
    assert '"files.contoso.example": 1' in response.text
