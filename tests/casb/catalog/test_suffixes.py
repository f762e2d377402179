import pytest

from casb.catalog.suffixes import is_hosting_suffix, is_public_suffix, registered_domain


@pytest.mark.parametrize(
    ("host", "public", "hosting", "registered"),
    [
        ("com", True, False, None),
        ("co.uk", True, False, None),
        ("example.co.uk", False, False, "example.co.uk"),
        ("a.b.example.co.uk", False, False, "example.co.uk"),
        ("github.io", False, True, "github.io"),
        ("someone.github.io", False, False, "github.io"),
        ("anything.kawasaki.jp", True, False, None),
        ("city.kawasaki.jp", False, False, "city.kawasaki.jp"),
        ("localhost", True, False, None),
        ("192.0.2.1", False, False, None),
    ],
)
def test_suffixes(host: str, public: bool, hosting: bool, registered: str | None) -> None:
    assert (is_public_suffix(host), is_hosting_suffix(host), registered_domain(host)) == (public, hosting, registered)
