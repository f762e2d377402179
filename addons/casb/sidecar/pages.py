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


def size(count: float) -> str:
    """Bytes as people read them.

    >>> size(1536), size(3 * 1024**4)
    ('1.5 KB', '3.0 TB')
    """
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "B" else f"{int(count)} B"
        count /= 1024
    return f"{count:,.1f} PB"


def short(count: float) -> str:
    """A number as a tile shows it.

    >>> short(950), short(12_345), short(7_654_321)
    ('950', '12.3k', '7.7M')
    """
    if count < 10_000:
        return f"{count:,.0f}"
    for unit in ("k", "M"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f}{unit}"
    return f"{count / 1000:,.1f}G"


TEMPLATES.filters.update(size=size, short=short, whole=lambda count: f"{count:,}")


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. `who` is the session of whoever is signed in, set by `sidecar.auth`; None shows no navigation."""
    who = getattr(request.state, "who", None)
    csrf = who.csrf if who else getattr(request.state, "csrf", "")
    text = TEMPLATES.get_template(template).render(who=who, csrf=csrf, path=request.url.path, status=status, **values)
    return HTMLResponse(text, status)
