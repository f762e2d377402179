"""Every implementation of `IndicatorApi`: Defender over the wire, and the one in memory that other tests use.

The shapes are those of the documented resource type: what the emulated service would refuse is a failure here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casb.connectors.defender import Defender
from casb.discovery.endpoint_indicators import BATCH, IndicatorApi, Options, Rule, plan
from defender_cloud import ALLOWED, defender_cloud
from endpoint_fakes import Remembering


@pytest.fixture(params=["defender", "memory"])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndicatorApi]:
    if request.param == "memory":
        yield Remembering()
        return
    with defender_cloud(tmp_path) as cloud:
        made = Defender(cloud.chosen, wait=lambda seconds: None)
        yield made
        made.close()


def bodies(count: int, *, warn: bool = False) -> list[dict[str, object]]:
    rules = [Rule(app=f"a{each}", name="A", warn=warn, patterns=(f"h{each}.example",)) for each in range(count)]
    return [each.as_api(Options(warned_url="https://w.example")) for each in plan(rules).indicators]


def test_what_was_submitted_is_there(api: IndicatorApi) -> None:
    told = api.submit([*bodies(2), *bodies(4, warn=True)[2:]])
    assert [each.failed for each in told] == [""] * 4 and len({each.id for each in told}) == 4
    there = {str(each["indicatorValue"]): each for each in api.indicators()}
    assert [there[f"h{each}.example"]["action"] for each in range(4)] == ["Block", "Block", "Warn", "Warn"]
    assert all(each["application"] == "casb" and each["indicatorType"] == "DomainName" for each in there.values())


def test_submitted_again_it_is_changed(api: IndicatorApi) -> None:
    first = api.submit(bodies(1))
    assert api.submit(bodies(1, warn=True))[0].id == first[0].id
    (only,) = api.indicators()
    assert only["action"] == "Warn"


def test_removed_it_is_gone_and_removing_again_is_no_error(api: IndicatorApi) -> None:
    ids = [each.id for each in api.submit(bodies(3))]
    api.remove(ids[:2])
    assert len(list(api.indicators())) == 1
    api.remove(ids)
    assert list(api.indicators()) == []


def test_a_full_batch(api: IndicatorApi) -> None:
    assert len(api.submit(bodies(BATCH))) == BATCH


def test_only_documented_fields_are_sent() -> None:
    for body in [*bodies(1), *bodies(1, warn=True)]:
        assert set(body) <= ALLOWED
        assert all(body[name] for name in ("indicatorValue", "indicatorType", "action", "title", "description"))
        assert body["severity"] in ("Informational", "Low", "Medium", "High")
