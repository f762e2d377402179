from datetime import UTC, datetime

from casb.model.discovery import TrafficEvent


def test_what_a_source_does_not_tell_is_none() -> None:
    event = TrafficEvent(line=1, time=datetime(2026, 1, 2, tzinfo=UTC), source="squid")
    assert (event.user, event.bytes_up, event.allowed) == (None, None, None)
