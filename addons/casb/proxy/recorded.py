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
from urllib.parse import quote

from mitmproxy import exceptions, http
from mitmproxy import io as flow_io
from mitmproxy.flow import Error

from casb.catalog.bodies import read_body
from casb.control.exchange import Party
from casb.control.replay import Recorded, file_from, file_json
from casb.control.snapshot import Snapshot
from casb.errors import ContentError, Where
from casb.model.activity import ResponseFacts
from casb.model.app import App
from casb.model.identity import Device, DeviceTag, User
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.proxy.uploads import looks_like_file
from casb.rewrite.hosts import split_port

logger = logging.getLogger(__name__)

_KEPT = frozenset(
    b"accept accept-encoding accept-language accept-ranges cache-control connection content-disposition "
    b"content-encoding content-language content-length content-range content-type date host last-modified origin range "
    b"sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user "
    b"slug transfer-encoding upgrade user-agent vary x-casb-activity x-content-type-options x-file-name x-filename "
    b"x-http-method x-http-method-override x-method-override x-requested-with x-upload-filename".split()
)
"""Headers that are kept, for decisions rest on them. Any other may hold a secret under a name that nobody knows."""


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
    file = exchange.activity.file if exchange and exchange.activity else None
    if file and (file.inspected or file.verdict or file.engines):
        copy.metadata["casb.file"] = json.dumps(file_json(file))
    if state and state.facts.upload_name is not None:
        copy.metadata["casb.upload_name"] = state.facts.upload_name
    if state and state.facts.instance:
        copy.metadata["casb.instance"] = state.facts.instance
    if state and state.response:
        # The origin's own head: the one the browser got may be ours.
        original = state.response
        copy.metadata["casb.response"] = json.dumps(
            {name: getattr(original, name) for name in type(original).__dataclass_fields__}
        )
    copy.request.path = _path(copy.request.path, state.route.app if state else None)
    for message in (copy.request, copy.response):
        if message is not None:
            message.content = None
            message.trailers = None
            message.headers = http.Headers(
                [(name, value) for name, value in message.headers.fields if name.lower() in _KEPT]
            )
    if copy.error is not None:
        copy.error = Error("it was cut off")  # The message may quote what the origin sent.
    copy.websocket = None
    out = io.BytesIO()
    flow_io.FlowWriter(out).add(copy)
    return out.getvalue()


def _path(path: str, app: App | None) -> str:
    """The path, and of its query what the app's signatures name: that is no secret, and recognition rests on it."""
    bare, mark, _ = path.partition("?")
    named = frozenset[str]().union(*(each.query for each in app.signatures)) if app and mark else frozenset[str]()
    kept = sorted(translate.query_names(path) & named)
    if not kept:
        return bare
    return f"{bare}?" + "&".join("=".join(map(quote, each.split("=", 1))) for each in kept)


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
                        yield from _each_file(flow, snapshot, found)
    except (exceptions.FlowReadException, ValueError, KeyError, TypeError) as error:
        raise ContentError(
            "R001",
            f"this is not a recording that can be read ({error})",
            Where(file=str(path)),
            "give a mitmproxy flow file or a HAR file",
        ) from None


def _each_file(flow: http.HTTPFlow, snapshot: Snapshot, found: Recorded) -> Iterator[Recorded]:
    """What a body tells besides, where the recording has it (HAR): one for each file that is sent in it."""
    body, request = flow.request.raw_content, found.request
    app = snapshot.catalog.match(found.host)
    if not body or app is None:
        yield found
        return
    try:
        header = flow.request.headers.get("content-type", "").encode("latin-1", "replace")
        contents = read_body(app, request, header, body, looks_like_file)
    except ContentError:
        yield found
        return
    request = replace(request, document=contents.document)
    for file in contents.files:
        sent = replace(request, upload_name=file.name, content_length=None if file.announced else len(file.content))
        yield replace(found, request=sent)
    if not contents.files:
        form = request.content_type.startswith("multipart/")
        yield replace(found, request=replace(request, upload_name="") if form else request)


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
    if "casb.upload_name" in flow.metadata:
        request = replace(request, upload_name=str(flow.metadata["casb.upload_name"]))
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
