"""Indicators to the agent's API: what is wanted, compared with what is there, in batches that can be cut off anywhere.

What somebody changed by hand is set again, what somebody removed is pushed again, and indicators of somebody else are
never touched: where one has a domain that is wanted, ours fails with that reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import Any

from casb.discovery.endpoint_indicators import (
    APPLICATION,
    BATCH,
    LIMIT,
    MOST,
    Imported,
    Indicator,
    IndicatorApi,
    Options,
    Plan,
    differs,
)
from casb.errors import ConnectorError
from casb.store.endpoint_book import CONFIRMED, FAILED, PUSHED, REMOVING, EndpointBook, Pushed

IN_THE_WAY = "an indicator for this domain that casb did not make is there already"


def push(
    book: EndpointBook, plan: Plan, options: Options, api: IndicatorApi, clock: Callable[[], datetime]
) -> dict[str, Any]:
    """Bring the API to what is planned; the numbers. Raises `ConnectorError` when it cannot go on: push again later."""
    book.want(plan, clock())
    outcome: dict[str, Any] = {"wanted": len(plan.indicators), "refused": len(plan.refused), "pushed": 0, "failed": 0,
                               "removed": 0, "unchanged": 0, "error": None}  # fmt: skip
    try:
        ours, theirs, foreign = _remote(api)
        _remove(book, ours, api, outcome)
        _submit(book, plan, options, api, (ours, theirs, foreign), clock, outcome)
    except ConnectorError as error:
        outcome["error"] = str(error)
        raise
    finally:
        book.push_ended(clock(), outcome)
    return outcome


def _remote(api: IndicatorApi) -> tuple[dict[str, Mapping[str, Any]], set[str], int]:
    """Ours by domain, domains of others, and how many others there are."""
    ours: dict[str, Mapping[str, Any]] = {}
    theirs: set[str] = set()
    foreign = 0
    for each in api.indicators():
        domain = str(each.get("indicatorValue", "")).lower()
        if each.get("application") == APPLICATION and each.get("indicatorType") == "DomainName":
            ours[domain] = each
        else:
            foreign += 1
            if each.get("indicatorType") == "DomainName":
                theirs.add(domain)
    return ours, theirs, foreign


def _remove(book: EndpointBook, ours: dict[str, Mapping[str, Any]], api: IndicatorApi, outcome: dict[str, Any]) -> None:
    """First out, then in: the limit counts both. What carries our name and is not in the book is ours to remove."""
    known = {each.domain: each for each in book.indicators()}
    gone = [domain for domain, each in known.items() if each.state == REMOVING and domain not in ours]
    book.put((), gone)
    doomed = [domain for domain in ours if domain not in known or known[domain].state == REMOVING]
    for some in batched(sorted(doomed), BATCH):
        api.remove([str(ours[domain].get("id", "")) for domain in some])
        book.put((), some)
        outcome["removed"] += len(some)
        for domain in some:
            del ours[domain]


def _submit(
    book: EndpointBook,
    plan: Plan,
    options: Options,
    api: IndicatorApi,
    remote: tuple[dict[str, Mapping[str, Any]], set[str], int],
    clock: Callable[[], datetime],
    outcome: dict[str, Any],
) -> None:
    ours, theirs, foreign = remote
    known = {each.domain: each for each in book.indicators()}
    room = MOST - foreign - len(ours)
    waiting: list[tuple[Indicator, Pushed]] = []
    for each in sorted(plan.indicators, key=lambda one: (one.action, one.domain)):  # Block before Warn
        row, there = known[each.domain], ours.get(each.domain)
        if each.domain in theirs:
            _failed(book, row, IN_THE_WAY, outcome)
        elif there is not None and row.state in (PUSHED, CONFIRMED) and not differs(there, each.as_api(options)):
            outcome["unchanged"] += 1
        elif there is None and room <= 0:
            _failed(book, row, LIMIT, outcome)
        else:
            room -= there is None
            waiting.append((each, row))
    for some in batched(waiting, BATCH):
        told = {each.domain: each for each in api.submit([one.as_api(options) for one, _ in some])}
        now = clock()
        changed = []
        for one, row in some:
            answer = told.get(one.domain) or Imported(domain=one.domain, failed="the API did not answer for it")
            state = FAILED if answer.failed else PUSHED
            outcome["failed" if answer.failed else "pushed"] += 1
            changed.append(
                replace(
                    row,
                    state=state,
                    reason=answer.failed[:300],
                    remote=answer.id or row.remote,
                    # Set again after somebody's change, it is in force only after another sync.
                    pushed=row.pushed if answer.failed else now,
                    confirmed=None,
                    tries=row.tries + 1,
                )
            )
        book.put(changed)


def _failed(book: EndpointBook, row: Pushed, why: str, outcome: dict[str, Any]) -> None:
    outcome["failed"] += 1
    book.put([replace(row, state=FAILED, reason=why, tries=row.tries + 1)])
