import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.agents import AgentFacts, Agents, read_agent
from casb.model.identity import AgentTag, ClientApp, DeviceType

N, B, OS, R = AgentTag.NATIVE_CLIENT, AgentTag.OUTDATED_BROWSER, AgentTag.OUTDATED_OS, AgentTag.ROBOT
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "device", "os", "app", "tags"),
    [
        pytest.param(
            f"{WINDOWS} {WEBKIT} Chrome/142.0.0.0 Safari/537.36",
            DeviceType.PC, "Windows 10", ClientApp.BROWSER, set(), id="Chrome",
        ),
        pytest.param(
            f"{WINDOWS} {WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
            DeviceType.PC, "Windows 10", ClientApp.BROWSER, set(), id="Edge",
        ),
        pytest.param(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
            DeviceType.PC, "Mac OS X 10", ClientApp.BROWSER, set(), id="Firefox on a Mac",
        ),
        pytest.param(
            f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/141.0.0.0 Safari/537.36",
            DeviceType.PC, "Linux", ClientApp.BROWSER, set(), id="headless is a browser all the same",
        ),
        pytest.param(
            f"{WINDOWS} {WEBKIT} Chrome/85.0.4183.121 Safari/537.36",
            DeviceType.PC, "Windows 10", ClientApp.BROWSER, {B}, id="old Chrome",
        ),
        pytest.param(
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
            DeviceType.PC, "Windows 7", ClientApp.BROWSER, {B, OS}, id="Internet Explorer on Windows 7",
        ),
        pytest.param(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Version/18.0 Mobile/15E148 Safari/604.1",
            DeviceType.MOBILE, "iOS 18", ClientApp.BROWSER, set(), id="iPhone",
        ),
        pytest.param(
            "Mozilla/5.0 (iPad; CPU OS 12_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Version/12.0 Mobile/15E148 Safari/604.1",
            DeviceType.TABLET, "iOS 12", ClientApp.BROWSER, {B, OS}, id="old iPad",
        ),
        pytest.param(
            f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36",
            DeviceType.MOBILE, "Android 14", ClientApp.BROWSER, set(), id="Android phone",
        ),
        pytest.param(
            f"Mozilla/5.0 (Linux; Android 14; SM-X710) {WEBKIT} Chrome/142.0.0.0 Safari/537.36",
            DeviceType.TABLET, "Android 14", ClientApp.BROWSER, set(), id="Android tablet",
        ),
        pytest.param(
            f"Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) {WEBKIT} Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36",
            DeviceType.MOBILE, "Android 14", ClientApp.NATIVE, {N}, id="web view of an app",
        ),
        pytest.param(
            f"{WINDOWS} {WEBKIT} Teams/1.5.00 Chrome/85.0 Electron/10.4.7 Safari/537.36",
            DeviceType.PC, "Windows 10", ClientApp.NATIVE, {N}, id="Electron",
        ),
        pytest.param(
            "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.1; Pro)",
            DeviceType.PC, "Windows 10", ClientApp.NATIVE, {N}, id="Outlook",
        ),
        pytest.param("curl/8.9.1", DeviceType.OTHER, None, ClientApp.NATIVE, {N}, id="curl"),
        pytest.param("", DeviceType.OTHER, None, ClientApp.NATIVE, {N}, id="says nothing"),
        pytest.param("Zaubertool 3", DeviceType.OTHER, None, ClientApp.NATIVE, {N}, id="nobody knows it"),
        pytest.param(
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            DeviceType.OTHER, None, ClientApp.NATIVE, {N, R}, id="crawler",
        ),
        pytest.param(
            f"{WINDOWS} {WEBKIT} Chrome/142.0.0.0 Safari/537.36 (compatible; ExampleCrawler)",
            DeviceType.OTHER, "Windows 10", ClientApp.NATIVE, {N, R}, id="crawler that plays browser",
        ),
    ],
)  # fmt: skip
def test_read_agent(agent: str, device: DeviceType, os: str | None, app: ClientApp, tags: set[AgentTag]) -> None:
    assert read_agent(agent) == AgentFacts(device_type=device, os=os, app=app, tags=frozenset(tags))


def test_look_up_keeps_what_it_read() -> None:
    agents = Agents(size=2)
    first = agents.lookup("curl/8.9.1")
    assert agents.lookup("curl/8.9.1") is first
    for number in range(3):
        agents.lookup(f"tool/{number}")
    assert agents.lookup("curl/8.9.1") == first
    assert agents.lookup("curl/8.9.1") is not first, "the oldest was dropped: memory is bounded"


def test_a_huge_agent_is_cut() -> None:
    assert read_agent("x" * 2_000_000 + " Chrome/142.0") == AgentFacts()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200) | st.from_regex(r"Mozilla/5\.0 \([A-Za-z0-9 ;._]{0,40}\) [A-Za-z]{1,9}/[0-9.]{0,30}"))
def test_any_agent_gives_facts(agent: str) -> None:
    facts = read_agent(agent)
    assert (N in facts.tags) == (facts.app is ClientApp.NATIVE)
