"""What an address means to the laboratory."""

from __future__ import annotations

import pytest

from casb.errors import ConfigError
from casb.lab.run import wish


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("https://wiki.contoso.example/a?b=1#c", None, ("wiki.contoso.example", "/a?b=1", None)),
        ("wiki.contoso.example", None, ("wiki.contoso.example", "/", None)),
        ("http://wiki.contoso.example/", None, ("wiki.contoso.example", "/", "http://wiki.contoso.example:80")),
        ("https://wiki.contoso.example:8443/", None, ("wiki.contoso.example", "/", "wiki.contoso.example:8443")),
        ("http://127.0.0.1:8888/lab", None, ("app.lab.example", "/lab", "http://127.0.0.1:8888")),
        ("http://localhost:3000", "wiki.contoso.example", ("wiki.contoso.example", "/", "http://localhost:3000")),
        ("http://[::1]:3000/", None, ("app.lab.example", "/", "http://[::1]:3000")),
    ],
)
def test_addresses(url: str, name: str | None, expected: tuple[str, str, str | None]) -> None:
    found = wish(url, name=name)
    assert (found.name, found.start, found.connect) == expected


@pytest.mark.parametrize(
    ("url", "name", "hosts"),
    [
        ("ftp://x.example/", None, ()),
        ("https://", None, ()),
        ("https://x.example:99999/", None, ()),
        ("https://ada:secret@x.example/", None, ()),
        ("http://127.0.0.1/", "127.0.0.1", ()),
        ("http://127.0.0.1/", "wiki", ()),
        ("https://x.example/", None, ("*.com",)),
    ],
)
def test_what_is_no_address(url: str, name: str | None, hosts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        wish(url, name=name, hosts=hosts)
    assert caught.value.code == "L004"
    assert "secret" not in str(caught.value) or "ada" in url
