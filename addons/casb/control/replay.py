"""Recorded exchanges through the same `Exchange` as live ones: what a tester sees is what a user gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from casb.control.exchange import Exchange, Party, access
from casb.control.snapshot import Snapshot
from casb.model.activity import RequestFacts, ResponseFacts
from casb.model.app import App
from casb.model.decision import Hold
from casb.model.file import EngineVerdict, FileFacts, Finding, Verdict, VerdictStatus
from casb.model.record import Record, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One recorded exchange. `file` holds what reading the content gave then; `recorded` the action taken then."""

    flow: str
    time: datetime
    host: str
    request: RequestFacts
    response: ResponseFacts | None
    party: Party
    file: FileFacts | None = None
    recorded: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the decision path says of a recorded exchange. `record` is None when it was no activity."""

    source: Recorded
    app: App | None
    record: Record | None

    @property
    def action(self) -> str:
        return self.record.decision.action.word if self.record else "allow"

    @property
    def differs(self) -> bool:
        """Whether another action was taken when it was recorded."""
        return self.source.recorded is not None and self.source.recorded != self.action


def replay(snapshot: Snapshot, recorded: Iterable[Recorded]) -> Iterator[Replayed]:
    """Decide each exchange anew, in order, under the policies of `snapshot`."""
    for each in recorded:
        app = snapshot.catalog.match(each.host)
        if app is None or not app.controlled:
            yield Replayed(source=each, app=app, record=None)
            continue
        yield Replayed(source=each, app=app, record=_decide(snapshot, app, each))


def _decide(snapshot: Snapshot, app: App, each: Recorded) -> Record | None:
    gate = access(snapshot, app, each.party, now=each.time, new_id=lambda: each.flow, mode="replay")
    if gate.decision.action.halts:
        return gate
    exchange = Exchange(
        snapshot=snapshot,
        app=app,
        party=each.party,
        clock=lambda: each.time,
        new_id=lambda: each.flow,
        mode="replay",
    )
    effect = exchange.request(each.request)
    if isinstance(effect, Hold):
        _read(exchange, each)
    if each.response is not None and not _refused(exchange):
        effect = exchange.response(each.response)
        if isinstance(effect, Hold):
            _read(exchange, each)
    return max(exchange.records, key=lambda record: record.decision.action, default=None)


def _read(exchange: Exchange, each: Recorded) -> None:
    if each.file is not None:
        exchange.inspected(each.file)
    else:
        exchange.unscannable("the content was not recorded")


def _refused(exchange: Exchange) -> bool:
    return any(record.decision.action.halts for record in exchange.records)


def to_json(result: Replayed) -> dict[str, Any]:
    """One line of `casb replay --format json`."""
    source, record = result.source, result.record
    party = source.party
    file = record.activity.file if record else None
    return {
        "flow": source.flow,
        "time": rfc3339(source.time),
        "method": source.request.method,
        "url": source.request.url,
        "app": result.app.id if result.app else None,
        "activity": record.activity.type.value if record else None,
        "user": party.user.name if party.user else None,
        "device": {"tags": sorted(party.device.tags)},
        "action": result.action,
        "policy": record.decision.policy if record else None,
        "matched": list(record.decision.matched) if record else [],
        "reasons": [
            {
                "code": each.code,
                "policy": each.policy,
                "file": each.where.file,
                "line": each.where.line,
                "condition": each.condition,
                "fact": each.fact,
            }
            for each in (record.decision.reasons if record else ())
        ],
        "file": file
        and {
            "name": file.name,
            "extension": file.extension,
            "size": file.size,
            "detected_type": file.detected_type,
            "label": file.label,
            "findings": {each.info_type: each.count for each in file.verdict.findings} if file.verdict else {},
        },
        "recorded": source.recorded,
    }


def file_json(file: FileFacts) -> dict[str, Any]:
    """What reading a file gave, for keeping with a recorded flow."""
    verdict = file.verdict
    return {
        "name": file.name,
        "extension": file.extension,
        "size": file.size,
        "declared_type": file.declared_type,
        "inspected": file.inspected,
        "detected_type": file.detected_type,
        "sha256": file.sha256,
        "label": file.label,
        "label_id": file.label_id,
        "signs": sorted(file.signs),
        "verdict": verdict
        and {
            "status": verdict.status.value,
            "inspector": verdict.inspector,
            "why": verdict.why,
            "findings": [
                {"type": each.info_type, "count": each.count, "confidence": each.confidence, "levels": each.levels}
                for each in verdict.findings
            ],
        },
        "malware": [
            {"engine": each.engine, "status": each.status.value, "threat": each.threat, "why": each.why}
            for each in file.engines
        ],
    }


def _finding(value: Mapping[str, Any]) -> Finding:
    return Finding(
        info_type=value["type"],
        count=value["count"],
        confidence=value["confidence"],
        levels=tuple((level, count) for level, count in value["levels"]),
    )


def file_from(value: Mapping[str, Any]) -> FileFacts:
    """The reverse of `file_json`; raises KeyError, TypeError or ValueError on anything else."""
    verdict = value["verdict"]
    return FileFacts(
        name=value["name"],
        extension=value["extension"],
        size=value["size"],
        declared_type=value["declared_type"],
        inspected=value["inspected"],
        detected_type=value["detected_type"],
        sha256=value["sha256"],
        label=value["label"],
        label_id=value.get("label_id"),
        signs=frozenset(value.get("signs", ())),
        verdict=verdict
        and Verdict(
            status=VerdictStatus(verdict["status"]),
            inspector=verdict["inspector"],
            why=verdict["why"],
            findings=tuple(map(_finding, verdict["findings"])),
        ),
        engines=tuple(
            EngineVerdict(**{**each, "status": VerdictStatus(each["status"])}) for each in value.get("malware", ())
        ),
    )
