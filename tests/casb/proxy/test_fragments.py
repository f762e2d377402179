"""The part of an address after `#` survives a sign-in (S9): in a browser by two small pages, elsewhere by nothing."""

from __future__ import annotations

from proxy_world import NAVIGATE, SUFFIX, World


def test_a_browser_is_sent_on_by_a_page_and_any_other_client_by_a_redirect(proxy: World) -> None:
    """The provider of this world is away: so what is seen here is that both get the same clear page for that."""
    started = proxy.ask("/deep#part", headers=NAVIGATE)
    path = started.headers["location"].partition(f"{SUFFIX}:{proxy.port}")[2]
    for headers in (NAVIGATE, {"accept": "text/html"}):
        got = proxy.ask(path, host=f"login.{SUFFIX}", headers=headers)
        assert got.status == 503
        assert "identity provider" in got.text
        assert "x-casb-activity" in got.headers


def test_a_sign_in_begun_elsewhere_goes_to_controlled_apps_only(proxy: World) -> None:
    def go(target: str) -> tuple[int, str]:
        got = proxy.ask(f"/.casb/login?target_link_uri={target}", host=f"login.{SUFFIX}", headers=NAVIGATE)
        return got.status, got.headers.get("location", "")

    assert go(f"https://{proxy.host}:{proxy.port}/deep?x=1") == (303, f"https://{proxy.host}:{proxy.port}/deep?x=1")
    assert go("https://files.example/deep")[1] == f"https://{proxy.host}:{proxy.port}/deep", "by the app's own name"
    for target in (
        "https://evil.example/",
        f"https://{proxy.host}.evil.example/",
        f"https://evil@{proxy.host}:{proxy.port}/",
        f"http://{proxy.host}:{proxy.port}/",
        f"https://{proxy.host}:{proxy.port}//evil.example",
        "javascript:alert(1)",
        "//evil.example/",
        "https:evil.example",
    ):
        assert go(target) == (400, ""), target
