"""Lines of tables."""

from __future__ import annotations

from casb.sidecar.services import Services
from casb.sidecar.views import proxy_lines, record_line
from sample_records import record


def test_a_line_of_the_log() -> None:
    sample = record(3)
    line = record_line({**sample, "time": "2026-03-02T10:00:03+02:00"})
    assert line.time == "2026-03-02T08:00:03.000Z"
    assert (line.user, line.app, line.ip) == (sample["user"]["name"], sample["app"]["name"], sample["client"]["ip"])
    assert line.tags == tuple(sample["device"]["tags"])


def test_a_record_that_lacks_everything() -> None:
    line = record_line({"id": "a", "time": "2026-03-02T08:00:00Z", "activity": "send_item", "action": "allow"})
    assert (line.activity, line.user, line.app, line.tags, line.policy) == ("send item", "", "", (), "")


def test_what_a_proxy_says_is_taken_with_care(services: Services) -> None:
    facts = {"workers": 1, "wanted": 2, "versions": ["a", 7], "problems": "none", "spool": {"lag": "much", "torn": 2}}
    services.portal.put_status("edge", facts, services.clock())
    (line,) = proxy_lines(services)
    assert (line.workers, line.versions, line.problems, line.lag, line.rejected) == ("1 of 2", ("a",), (), 0, 2)
