"""Buckets, storage accounts and web apps out of hosts and URLs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.discovery.resources import resource_of


@pytest.mark.parametrize(
    ("host", "url", "expected"),
    [
        ("invoices.s3.amazonaws.com", None, "bucket:invoices"),
        ("in.voices.s3.eu-west-1.amazonaws.com", None, "bucket:in.voices"),
        ("invoices.s3.dualstack.us-east-1.amazonaws.com", None, "bucket:invoices"),
        ("site.s3-website-us-east-1.amazonaws.com", None, "bucket:site"),
        ("s3.amazonaws.com", "https://s3.amazonaws.com/invoices/a.pdf", "bucket:invoices"),
        ("s3.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com/", None),
        ("contosofiles.blob.core.windows.net", None, "storage-account:contosofiles"),
        ("contoso.azurewebsites.net", None, "web-app:contoso"),
        ("contoso.scm.azurewebsites.net", None, "web-app:contoso"),
        ("storage.googleapis.com", "https://storage.googleapis.com/my-bucket/x?y", "bucket:my-bucket"),
        ("my-bucket.storage.googleapis.com", None, "bucket:my-bucket"),
        ("shop.herokuapp.com", None, "web-app:shop"),
        ("www.googleapis.com", "https://www.googleapis.com/drive", None),
        ("console.cloud.google.com", "https://console.cloud.google.com/x", None),
        ("www.dropbox.com", "https://www.dropbox.com/x", None),
        (None, None, None),
    ],
)
def test_resources(host: str | None, url: str | None, expected: str | None) -> None:
    assert resource_of("any", host, url) == expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_gives_a_resource_or_none(host: str, url: str) -> None:
    found = resource_of("any", f"{host}.s3.amazonaws.com", url)
    assert found is None or found.startswith("bucket:")


@pytest.mark.parametrize("middle", ["-" * 220, "a-" * 110, "." * 220, "a." * 110])
def test_no_host_takes_long(middle: str) -> None:
    began = time.perf_counter()
    resource_of("any", f"a.s3{middle}_.amazonaws.com"[-255:], None)
    assert time.perf_counter() - began < 0.5
