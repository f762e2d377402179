"""Templates: everything is escaped, and what a template is not given is an error, not an empty page."""

from __future__ import annotations

import pytest
from fastapi import Request
from jinja2 import UndefinedError

from casb.sidecar.pages import TEMPLATES, page


def request() -> Request:
    return Request({"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b"", "state": {}})


def test_values_are_escaped() -> None:
    response = page(request(), "error.html", status=404, title="<b>", message="<script>", errors=["<i>", "&"])
    text = bytes(response.body).decode()
    assert response.status_code == 404
    assert "&lt;script&gt;" in text
    assert "<script>" not in text.replace('<script src="/static/portal.js" defer></script>', "")


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        page(request(), "error.html", title="a")


def test_every_template_can_be_read() -> None:
    names = TEMPLATES.list_templates()
    assert "overview.html" in names
    for name in names:
        TEMPLATES.get_template(name)
