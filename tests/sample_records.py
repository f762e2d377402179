"""Records as the proxy makes them, for tests, screenshots and the benchmark; the same for the same number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from casb.errors import Where
from casb.model.activity import Activity, ActivityType, RequestFacts, RequestMode, ResponseFacts, Source
from casb.model.app import App
from casb.model.decision import ALLOWED, Action, Decision, Reason, Severity
from casb.model.file import FileFacts, Finding, Verdict, VerdictStatus
from casb.model.identity import AgentTag, Client, Device, DeviceTag, DeviceType, User
from casb.model.record import Record, to_json

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FILES = App(id="files", name="Contoso Files", domains=("files.contoso.example",), category="Cloud storage")
NOTES = App(id="notes", name="Team Notes", domains=("notes.contoso.example",), category="Collaboration")
_NAMES = ("payroll.xlsx", "q3-forecast.xlsx", "minutes.docx", "Überblick.pdf", "logo.png", "customers.csv")
_USERS = ("ada", "grace", "linus", "margaret", "edsger")


def record(number: int, time: datetime | None = None, *, action: Action | None = None) -> dict[str, Any]:
    """One record as JSON data; everything but `time` and `action` follows from `number`."""
    chance = random.Random(number)  # noqa: S311 - test data
    chosen = action if action is not None else chance.choices(list(Action), (60, 10, 2, 2, 1, 8, 4, 13))[0]
    user = chance.choice(_USERS)
    managed = chance.random() < 0.5
    kind = chance.choice((ActivityType.DOWNLOAD, ActivityType.UPLOAD, ActivityType.VIEW, ActivityType.LOGON))
    app = chance.choice((FILES, NOTES))
    name = chance.choice(_NAMES)
    file = kind in (ActivityType.DOWNLOAD, ActivityType.UPLOAD)
    activity = Activity(
        id=f"01JQ{number:022d}",
        time=time or START + timedelta(seconds=number),
        type=kind,
        app=app,
        user=User(
            id=f"contoso/{user}",
            name=f"{user}@contoso.example",
            display_name=user.title(),
            domain="contoso.example",
            groups=frozenset({"staff", "finance"}),
            tenant="contoso",
        ),
        device=Device(
            tags=frozenset({DeviceTag.COMPLIANT}) if managed else frozenset(),
            type=DeviceType.PC,
            os="Windows 11",
            sources={"compliant": "claim device_compliant"} if managed else {},
        ),
        client=Client(
            ip=f"203.0.113.{chance.randrange(250)}",
            ip_tags=frozenset({"branch"}),
            ip_category="corporate",
            country=chance.choice(("DE", "FR", "US")),
            user_agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36",
            agent_tags=frozenset({AgentTag.OUTDATED_BROWSER}) if chance.random() < 0.1 else frozenset(),
        ),
        session_id=f"session-{user}",
        file=_file(name, chance) if file else None,
        request=RequestFacts(
            method="GET", scheme="https", host=app.domains[0], port=443, path=f"/shared/{name}", mode=RequestMode.FETCH
        ),
        response=ResponseFacts(status=200, content_type="application/octet-stream", attachment=True),
        source=Source.SESSION_CONTROL,
    )
    return to_json(
        Record(activity=activity, decision=_decision(chosen), policy_version="3f2a91c0", mode="suffix", extra={})
    )


def records(count: int, *, until: datetime | None = None, spread: timedelta = timedelta(hours=30)) -> Iterator[Any]:
    """Many records; with `until` they lie evenly over the time `spread` before it."""
    for number in range(count):
        time = until - spread * ((count - number) / count) if until else None
        yield record(number, time)


def _file(name: str, chance: random.Random) -> FileFacts:
    return FileFacts(
        name=name,
        extension=name.rpartition(".")[2],
        size=chance.randrange(2_000_000),
        declared_type="application/octet-stream",
        inspected=True,
        detected_type="application/zip",
        sha256="5e" * 32,
        label="Confidential",
        verdict=Verdict(
            status=VerdictStatus.SENSITIVE,
            findings=(Finding(info_type="iban", count=chance.randrange(1, 40)),),
            inspector="dlp",
        ),
    )


def _decision(action: Action) -> Decision:
    if action is Action.ALLOW:
        return ALLOWED
    policy = f"{action.word.replace('_', '-')}-downloads-on-unmanaged-devices"
    places = (("device.tags", 14, "device: unmanaged", "no device tags"), ("file.extension", 16, "file: xlsx", "xlsx"))
    return Decision(
        action=action,
        policy=policy,
        matched=(policy, "watch-everything"),
        reasons=tuple(
            Reason(
                code=code,
                policy=policy,
                where=Where(file="policies/unmanaged.yaml", line=line, column=5),
                condition=condition,
                fact=fact,
            )
            for code, line, condition, fact in places
        ),
        severity=Severity.HIGH if action is Action.BLOCK else Severity.LOW,
        message="This file may not leave on a device that is not managed." if action is Action.BLOCK else "",
    )
