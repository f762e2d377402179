"""The indicator API over a wire: tokens, throttling, partial failures, and nobody else gets the token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from casb.connectors.defender import LONGEST_WAIT, Defender
from casb.discovery.endpoint_indicators import Imported, Options, Rule, plan
from casb.errors import ConnectorError
from casb.settings import Endpoints, Secret
from defender_cloud import Cloud, defender_cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with defender_cloud(tmp_path) as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def api(cloud: Cloud, waits: list[float]) -> Iterator[Defender]:
    made = Defender(cloud.chosen, wait=waits.append)
    yield made
    made.close()


def bodies(*domains: str) -> list[dict[str, object]]:
    rules = [Rule(app=each, name=each, patterns=(each,)) for each in domains]
    return [each.as_api(Options()) for each in plan(rules).indicators]


def test_there_and_back(api: Defender, cloud: Cloud) -> None:
    assert api.submit(bodies("a.example", "b.example")) == [
        Imported(domain="a.example", id="1"), Imported(domain="b.example", id="2"),
    ]  # fmt: skip
    assert [each["indicatorValue"] for each in api.indicators()] == ["a.example", "b.example"]
    api.remove(["1"])
    assert list(cloud.indicators) == ["2"]
    assert cloud.tokens == 1, "one token serves many calls"


def test_pages(api: Defender, cloud: Cloud) -> None:
    cloud.page = 2
    api.submit(bodies("a.example", "b.example", "c.example"))
    assert len(list(api.indicators())) == 3


def test_a_next_page_elsewhere_gets_no_token(api: Defender, cloud: Cloud) -> None:
    for link in ("https://evil.example/api", cloud.url.replace("https", "http"), f"https://127.0.0.1:1/{cloud.url}"):
        cloud.next_link = link
        with pytest.raises(ConnectorError, match="D071"):
            list(api.indicators())


def test_partial_failures(api: Defender, cloud: Cloud) -> None:
    cloud.fails["b.example"] = "blocked by policy"
    told = {each.domain: each.failed for each in api.submit(bodies("a.example", "b.example"))}
    assert told == {"a.example": "", "b.example": "blocked by policy"}


def test_throttling_is_waited_out(api: Defender, cloud: Cloud, waits: list[float]) -> None:
    cloud.throttle, cloud.retry_after = 2, "7"
    api.submit(bodies("a.example"))
    assert waits == [7.0, 7.0] and len(cloud.indicators) == 1


def test_trouble_is_waited_out_longer_each_time(api: Defender, cloud: Cloud, waits: list[float]) -> None:
    cloud.broken = 3
    api.submit(bodies("a.example"))
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(("throttle", "after"), [(99, "1"), (1, str(int(LONGEST_WAIT) + 1))])
def test_patience_ends(api: Defender, cloud: Cloud, waits: list[float], throttle: int, after: str) -> None:
    cloud.throttle, cloud.retry_after = throttle, after
    with pytest.raises(ConnectorError, match="D071"):
        api.submit(bodies("a.example"))
    assert sum(waits) <= 5 * LONGEST_WAIT


def test_an_expired_token_is_renewed_once(api: Defender, cloud: Cloud) -> None:
    list(api.indicators())
    cloud.forgets = 1
    list(api.indicators())
    assert cloud.tokens == 2
    cloud.forgets = 2
    with pytest.raises(ConnectorError, match="401"):
        list(api.indicators())


def test_a_wrong_secret_is_told_without_it(cloud: Cloud) -> None:
    api = Defender(replace(cloud.chosen, client_secret=Secret("hunter2")), wait=lambda seconds: None)
    with pytest.raises(ConnectorError) as caught:
        list(api.indicators())
    api.close()
    assert "invalid_client" in str(caught.value) and "hunter2" not in repr(caught.value)


def test_removing_what_is_gone(api: Defender, cloud: Cloud) -> None:
    api.submit(bodies("a.example", "b.example"))
    api.remove(["1", "77", "2"])
    assert cloud.indicators == {}
    with pytest.raises(ConnectorError, match="id that is none"):
        api.remove(["../machines"])


def test_batches_are_bounded(api: Defender) -> None:
    with pytest.raises(ValueError, match="500"):
        api.submit([{}] * 501)
    with pytest.raises(ValueError, match="500"):
        api.remove(["1"] * 501)


def test_nobody_configured_it() -> None:
    with pytest.raises(ConnectorError, match="D071"):
        Defender(Endpoints())


def test_nobody_is_there(cloud: Cloud) -> None:
    api = Defender(replace(cloud.chosen, authority="https://127.0.0.1:1/tenant"))
    with pytest.raises(ConnectorError, match="D071"):
        list(api.indicators())
    api.close()
