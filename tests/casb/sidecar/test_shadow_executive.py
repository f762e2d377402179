"""The executive report and Parquet tables over HTTP."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from asgi_client import Client
from casb.sidecar.services import Services


def test_the_pdf_has_its_pages_whatever_names_are_in_it(portal: Client, world: Services) -> None:
    assert "Make the PDF" in portal.get("/discovery/executive?days=7").text
    answer = portal.get("/discovery/executive.pdf", params={"days": 7, "name": "Q1 <b>&amp; Ж\n"})
    assert answer.headers["content-type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
    assert answer.headers["content-disposition"] == 'attachment; filename="Q1-b-amp.pdf"'
    assert answer.content.count(b"/Type /Page\n") == 6
    assert any(each.what == "made an executive report" for each in world.portal.audit(limit=3))
    assert portal.get("/v1/discovery/executive?days=7").content.startswith(b"%PDF-")


def test_a_report_of_nothing_is_a_report(portal: Client, world: Services) -> None:
    assert world.discovery is not None
    world.discovery.delete_all("grace")
    assert portal.get("/discovery/executive.pdf?days=7").content.startswith(b"%PDF-")


@pytest.mark.parametrize("table", ["apps", "user", "ip", "device", "resource"])
def test_parquet(portal: Client, table: str) -> None:
    answer = portal.get(f"/v1/discovery/parquet?days=7&table={table}")
    assert answer.status_code == 200
    found = pq.read_table(io.BytesIO(answer.content))
    assert found.num_rows > 0 and "name" in found.column_names


def test_strangers_get_nothing(world: Services, portal: Client) -> None:
    portal.cookies.clear()
    assert portal.get("/v1/discovery/executive").status_code == 401
    assert portal.get("/v1/discovery/parquet").status_code == 401
