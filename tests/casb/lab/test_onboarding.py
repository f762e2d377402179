"""The file that the laboratory writes is one that `casb check` takes."""

from __future__ import annotations

import pytest

from casb.config import build
from casb.lab.onboarding import app_id, onboarding


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("wiki.contoso.example", "wiki"),
        ("www.contoso.com", "contoso"),
        ("contoso.co.uk", "contoso"),
        ("xn--bcher-kva.example", "xn-bcher-kva"),
    ],
)
def test_ids(host: str, expected: str) -> None:
    assert app_id(host) == expected


@pytest.mark.parametrize("title", ['Wiki: the "best"\n# one', "", "ü" * 200, "yes"])
def test_the_file_is_valid(title: str) -> None:
    text = onboarding(
        name=title,
        hosts=["wiki.contoso.com", "*.cdn.contoso.com"],
        unknown=[("static.contoso.com", 3, "image"), ("fonts.others.test", 1, "font")],
        start="/start?x=1",
        connect="http://127.0.0.1:8080",
        logout=["/logout"],
        notes=["The origin saw\nthe suffix"],
    )
    files = {"casb.yaml": b"suffix: casb.example\n", "apps/wiki.yaml": text.encode()}
    (app,) = build(files, "/etc/casb").apps
    assert app.domains == ("wiki.contoso.com", "*.cdn.contoso.com", "static.contoso.com")
    assert (app.start, app.logout, app.unknown_hosts) == ("/start?x=1", ("/logout",), "learn")
    assert "#   - fonts.others.test  # 1 times (font)" in text
