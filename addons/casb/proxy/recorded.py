"""Flows kept for `casb replay`, and read back from mitmproxy's format or HAR.

Kept flows are scrubbed at the source: no cookies, credentials, query strings or bodies. What a decision needs besides
the heads (who asked, what reading the file gave) stands in the flow's metadata as plain strings.
"""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mitmproxy import exceptions, http
from mitmproxy import io as flow_io

from casb.control.exchange import Party
from casb.control.replay import Recorded, file_from, file_json
from casb.control.snapshot import Snapshot
from casb.errors import ContentError, Where
from casb.model.activity import ResponseFacts
from casb.model.identity import Device, DeviceTag, User
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.rewrite.hosts import split_port

logger = logging.getLogger(__name__)

_SECRET = frozenset(
    b"cookie set-cookie authorization proxy-authorization www-authenticate x-api-key x-xsrf-token x-csrf-token "
    b"x-csrftoken sec-websocket-key sec-websocket-accept x-auth-token".split()
)


class FlowLog:
    """Appends every decided exchange of a controlled app to one file, shared by all workers."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def response(self, flow: http.HTTPFlow) -> None:
        """The exchange is decided and answered."""
        self._keep(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The exchange was cut off."""
        self._keep(flow)

    def done(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _keep(self, flow: http.HTTPFlow) -> None:
        if "casb.party" not in flow.metadata:
            return
        try:
            os.write(self._file, scrubbed(flow))
        except Exception:
            # Recording is a tester's aid: the activity log does not depend on it.
            log_fault(logger, "flow not recorded", flow=flow.id)


def scrubbed(flow: http.HTTPFlow) -> bytes:
    """The flow as mitmproxy writes it, without anything secret."""
    copy = flow.copy()
    copy.id = flow.id
    state = translate.state_of(flow)
    exchange = state.exchange if state else None
    if exchange and exchange.activity and exchange.activity.file and exchange.activity.file.verdict:
        copy.metadata["casb.file"] = json.dumps(file_json(exchange.activity.file))
    if state and state.facts.instance:
        copy.metadata["casb.instance"] = state.facts.instance
    if state and state.response:
        # The origin's own head: the one the browser got may be ours.
        original = state.response
        copy.metadata["casb.response"] = json.dumps(
            {name: getattr(original, name) for name in type(original).__dataclass_fields__}
        )
    copy.request.path = copy.request.path.partition("?")[0]
    copy.request.content = None
    copy.request.headers = _without_secrets(copy.request.headers)
    if copy.response is not None:
        copy.response.content = None
        copy.response.headers = _without_secrets(copy.response.headers)
        for name in ("location", "refresh", "content-location", "link"):
            copy.response.headers.pop(name, None)
    for name in ("referer",):
        copy.request.headers.pop(name, None)
    copy.websocket = None
    out = io.BytesIO()
    flow_io.FlowWriter(out).add(copy)
    return out.getvalue()


def _without_secrets(headers: http.Headers) -> http.Headers:
    return http.Headers([(name, value) for name, value in headers.fields if name.lower() not in _SECRET])


def read_flows(path: Path, snapshot: Snapshot, stranger: Party) -> Iterator[Recorded]:
    """Recorded exchanges of a file, oldest first as they stand in it.

    `stranger` is who asks where the recording does not say. Raises `ContentError` where the file is broken; what came
    before has been given out by then.
    """
    try:
        with path.open("rb") as file:
            for flow in flow_io.FlowReader(file).stream():
                if isinstance(flow, http.HTTPFlow):
                    found = recorded(flow, snapshot, stranger)
                    if found is not None:
                        yield found
    except (exceptions.FlowReadException, ValueError, KeyError, TypeError) as error:
        raise ContentError(
            "R001",
            f"this is not a recording that can be read ({error})",
            Where(file=str(path)),
            "give a mitmproxy flow file or a HAR file",
        ) from None


def recorded(flow: http.HTTPFlow, snapshot: Snapshot, stranger: Party) -> Recorded | None:
    """One flow as facts; None for requests to our own pages."""
    host = str(flow.metadata.get("casb.host") or flow.request.pretty_host).lower().rstrip(".")
    settings = snapshot.settings
    if host == settings.login_host or flow.request.path.startswith("/.casb/"):
        return None
    origin = snapshot.hosts.origin_host(host) or host
    name, digits = split_port(origin)
    name = name.strip("[]")
    fields = translate.request_fields(flow.request)
    request = translate.request_facts(flow.request, fields, host=name, port=int(digits or 443))
    app = snapshot.catalog.match(name)
    if "casb.action" in flow.metadata:
        told = flow.metadata.get("casb.instance")  # What told it was not kept.
        request = replace(request, instance=str(told) if told else None)
    elif app is not None and app.instances:
        request = replace(request, instance=translate.instance(app, name, fields))
    agent = fields.get(b"user-agent", b"").decode("utf-8", "replace")
    response = translate.response_facts(flow.response) if flow.response is not None else None
    if "casb.response" in flow.metadata:
        response = ResponseFacts(**json.loads(str(flow.metadata["casb.response"])))
    elif "casb.action" in flow.metadata:
        response = None  # Refused before the origin was asked: what is recorded is our own page.
    file = flow.metadata.get("casb.file")
    return Recorded(
        flow=flow.id,
        time=datetime.fromtimestamp(flow.request.timestamp_start, UTC),
        host=name,
        request=request,
        response=response,
        party=_party(flow, snapshot, stranger, agent),
        file=file_from(json.loads(str(file))) if file else None,
        recorded=str(flow.metadata["casb.action"]) if "casb.action" in flow.metadata else None,
    )


def _party(flow: http.HTTPFlow, snapshot: Snapshot, stranger: Party, agent: str) -> Party:
    kept = flow.metadata.get("casb.party")
    if kept is None:
        peer = flow.client_conn.peername
        ip = stranger.client.ip or (peer[0] if peer else "")
        client, device = snapshot.client(ip, agent, stranger.device)
        return Party(
            user=stranger.user,
            device=device,
            client=client,
            auth_contexts=stranger.auth_contexts,
            proven=stranger.proven,
        )
    return party_from(json.loads(str(kept)), snapshot, agent)


def party_from(value: Mapping[str, Any], snapshot: Snapshot, agent: str) -> Party:
    """The reverse of `translate.party_json`; address and agent are looked up in the snapshot's ranges anew."""
    told, user = value["device"], value["user"]
    proven = Device(
        id=told["id"], tags=frozenset(DeviceTag(each) for each in told["tags"]), sources=dict(told["sources"])
    )
    client, device = snapshot.client(value["ip"], agent, proven)
    return Party(
        user=user and User(**(user | {"groups": frozenset(user["groups"])})),
        device=device,
        client=client,
        session_id=value["session"],
        auth_contexts=frozenset(value["auth_contexts"]),
        proven={name: datetime.fromisoformat(when) for name, when in value.get("proven", {}).items()},
    )
