"""The busiest hosts of no app: exact while they are few, bounded when they are many."""

from __future__ import annotations

from datetime import date, timedelta

from casb.discovery.tophosts import TopHosts

DAY = date(2026, 6, 15)


def test_few_hosts_are_counted_exactly_and_the_busiest_come_first() -> None:
    hosts = TopHosts()
    for host, count in (("a", 3), ("b", 5), ("c", 3), ("", 9)):
        hosts.add(DAY, host, count)
    assert list(hosts.rows()) == [(DAY, "b", 5), (DAY, "a", 3), (DAY, "c", 3)]


def test_memory_is_bounded_and_a_busy_host_is_never_missing() -> None:
    hosts = TopHosts(kept=10, slack=100)
    for number in range(20_000):
        hosts.add(DAY, f"random-{number}.example")
        if number % 10 == 0:
            hosts.add(DAY, "busy.example")
    assert len(hosts._days[DAY]) <= 101
    found = {host: count for _, host, count in hosts.rows()}
    assert len(found) == 10
    assert found["busy.example"] >= 2000, "a count may be too high, never too low"


def test_days_are_bounded_and_totals_go_over_days() -> None:
    hosts = TopHosts()
    for number in range(1000):
        hosts.add(DAY + timedelta(days=number), "a.example")
    assert len(hosts._days) == 400
    assert hosts.total() == [("a.example", 400)]
    other = TopHosts()
    other.update(hosts.rows())
    assert other.total() == hosts.total()
