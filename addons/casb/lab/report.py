"""A finding as one self-contained HTML page, and as JSON."""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from casb.lab.run import Finding

_TEMPLATES = Environment(
    loader=PackageLoader("casb.lab", "."),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
LISTS = (
    (
        "escaped",
        "Requests that left session control",
        "The application asked for a host of its own without the suffix.",
    ),
    ("told", "What the origin saw of us", "The suffix or our cookies arrived at the application."),
    ("violations", "New violations of a security policy", "The browser refused something that it allows directly."),
    ("failed", "New failed requests", "They work directly."),
    ("console", "New messages in the console", "Errors and warnings that are not there directly."),
    ("cookies", "Cookies", "Name, host and flags as the browser keeps them."),
)


def as_html(finding: Finding, now: datetime) -> str:
    """One page with everything in it: pictures, style, no script."""
    rows = zip(finding.direct.stops, finding.through.stops, finding.delta.stops, finding.differences, strict=True)
    stops = [
        {
            "number": number,
            "direct": one,
            "through": two,
            "delta": delta,
            "pictures": [_data(one.picture), _data(two.picture), _data(picture)],
        }
        for number, (one, two, delta, picture) in enumerate(rows, 1)
    ]
    lists = [(title, why, getattr(finding.delta, name)) for name, title, why in LISTS]
    headers = [each for each in finding.delta.headers if each.verdict != "same"]
    same = len(finding.delta.headers) - len(headers)
    return _TEMPLATES.get_template("report.html").render(
        finding=finding, stops=stops, lists=lists, headers=headers, same_headers=same, now=now
    )


def as_json(finding: Finding) -> dict[str, Any]:
    """The same without pictures."""
    delta = finding.delta
    return {
        "url": finding.wish.url,
        "name": finding.wish.name,
        "domains": list(finding.wish.domains),
        "same": not delta.differs,
        "seconds": finding.seconds,
        "stops": [
            {
                "step": one.label,
                "url": one.url,
                "title": one.title,
                "same": not each.differs,
                "failure": each.failure,
                "missing": list(each.missing),
                "extra": list(each.extra),
                "pixels": round(each.pixels, 5),
                "noise": round(each.noise, 5),
                "seconds": {"direct": one.seconds, "through": two.seconds},
            }
            for one, two, each in zip(finding.direct.stops, finding.through.stops, delta.stops, strict=True)
        ],
        **{name: list(getattr(delta, name)) for name, _, _ in LISTS},
        "headers": [asdict(each) for each in delta.headers],
        "unknown_hosts": [{"host": host, "count": count, "kind": kind} for host, count, kind in delta.unknown],
        "onboarding": finding.yaml,
    }


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}" if picture else ""
