"""For what and until when something that was said counts."""

from datetime import UTC, datetime, timedelta

import pytest

from casb.control.justified import Justification, from_json, holding, thing_of, to_json
from casb.model.activity import Activity, ActivityType, RequestFacts
from casb.model.app import App
from casb.model.file import FileFacts
from casb.model.identity import Client, Device

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def activity(name: str = "", host: str = "") -> Activity:
    return Activity(
        id="1",
        time=NOW,
        type=ActivityType.DOWNLOAD,
        app=App(id="files", name="Files", domains=()),
        user=None,
        device=Device(),
        client=Client(ip=""),
        file=FileFacts(name=name) if name else None,
        request=RequestFacts(method="GET", scheme="https", host=host, port=443, path="/") if host else None,
    )


@pytest.mark.parametrize(
    ("given", "thing"),
    [(activity("a.txt", "h"), "file:a.txt"), (activity("", "h"), "host:h"), (activity(), "app:files")],
)
def test_what_it_is_about(given: Activity, thing: str) -> None:
    assert thing_of(given) == thing


def test_what_counts() -> None:
    good = Justification(policies=("p",), thing="file:a.txt", until=NOW + timedelta(minutes=1), reason="r", text="t")
    over = Justification(policies=("p",), thing="file:a.txt", until=NOW)
    assert holding((good, over), activity("a.txt")) == (good,)
    assert holding((good, over), activity("b.txt")) == ()
    assert from_json(to_json(good)) == good
