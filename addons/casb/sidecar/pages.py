"""Templates to answers. Everything a page shows goes through here, escaped."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

TEMPLATES = Environment(
    loader=PackageLoader("casb.sidecar", "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. `who` is the session of whoever is signed in, set by `sidecar.auth`; None shows no navigation."""
    who = getattr(request.state, "who", None)
    csrf = who.csrf if who else getattr(request.state, "csrf", "")
    text = TEMPLATES.get_template(template).render(who=who, csrf=csrf, path=request.url.path, status=status, **values)
    return HTMLResponse(text, status)
