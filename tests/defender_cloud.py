"""An emulated Defender for Endpoint: a token endpoint and the indicator API as documented, over TLS on loopback.

It throttles, forgets tokens, fails single indicators and ends connections when told to.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from casb.settings import Endpoints, Secret
from loopback_tls import certificate

ALLOWED = {
    "indicatorValue", "indicatorType", "action", "application", "title", "description", "severity",
    "recommendedActions", "rbacGroupNames", "generateAlert", "educateUrl", "bypassDurationHours", "expirationTime",
    "externalId",
}  # fmt: skip


@dataclass
class Cloud:
    """What it holds, what it was asked, and how it shall behave."""

    url: str = ""
    ca: str = ""
    secret: str = "emulated"
    page: int = 1000  # indicators of a page
    indicators: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id
    calls: list[tuple[str, str]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    throttle: int = 0  # answers with 429 that come next
    retry_after: str = "1"
    broken: int = 0  # answers with 503 that come next
    forgets: int = 0  # answers with 401 that come next
    fails: dict[str, str] = field(default_factory=dict)  # domain to reason
    breaks_after: int | None = None  # imports that still work
    next_link: str | None = None
    tokens: int = 0
    _ids: int = 0

    @property
    def chosen(self) -> Endpoints:
        return Endpoints(
            enforce=True, api=self.url, authority=f"{self.url}/tenant", client_id="app", ca=self.ca,
            client_secret=Secret(self.secret),
        )  # fmt: skip

    def domains(self, application: str = "casb") -> dict[str, dict[str, Any]]:
        return {e["indicatorValue"]: e for e in self.indicators.values() if e.get("application") == application}

    def add(self, **facts: Any) -> str:
        self._ids += 1
        ident = str(self._ids)
        self.indicators[ident] = {"id": ident, "indicatorType": "DomainName", **facts}
        return ident

    # Answers: status, body, headers

    def answer(
        self, method: str, path: str, query: str, body: bytes, token: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        self.calls.append((method, path))
        if path == "/tenant/oauth2/v2.0/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if form.get("grant_type") != "client_credentials" or form.get("client_secret") != self.secret:
                return 401, {"error": "invalid_client", "error_description": "AADSTS7000215 for app app"}, {}
            self.tokens += 1
            return 200, {"token_type": "Bearer", "expires_in": 3599, "access_token": f"t{self.tokens}"}, {}
        if token is None or (self.forgets and self._less("forgets")):
            return 401, {"error": {"code": "Unauthorized", "message": "expired"}}, {}
        if self.throttle and self._less("throttle"):
            return 429, {"error": {"code": "TooManyRequests", "message": "slow"}}, {"Retry-After": self.retry_after}
        if self.broken and self._less("broken"):
            return 503, {}, {}
        if (method, path) == ("GET", "/api/indicators"):
            return self._list(query)
        if (method, path) == ("POST", "/api/indicators/import"):
            return self._import(json.loads(body))
        if (method, path) == ("POST", "/api/indicators/BatchDelete"):
            return self._delete(json.loads(body)["IndicatorIds"])
        if method == "DELETE" and path.startswith("/api/indicators/"):
            gone = self.indicators.pop(path.rpartition("/")[2], None)
            return (204, None, {}) if gone else (404, {"error": {"code": "NotFound"}}, {})
        return 404, {}, {}

    def _less(self, name: str) -> bool:
        setattr(self, name, getattr(self, name) - 1)
        return True

    def _list(self, query: str) -> tuple[int, Any, dict[str, str]]:
        skip = int(parse_qs(query).get("$skip", ["0"])[0])
        rows = list(self.indicators.values())[skip : skip + self.page]
        found: dict[str, Any] = {"@odata.context": f"{self.url}/api/$metadata#Indicators", "value": rows}
        if self.next_link is not None:
            found["@odata.nextLink"] = self.next_link
        elif skip + self.page < len(self.indicators):
            found["@odata.nextLink"] = f"{self.url}/api/indicators?$skip={skip + self.page}"
        return 200, found, {}

    def _import(self, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        rows = body["Indicators"]
        self.batches.append(len(rows))
        if not 0 < len(rows) <= 500:
            return 400, {"error": {"code": "BadRequest", "message": "batch size"}}, {}
        if self.breaks_after is not None:
            if self.breaks_after <= 0:
                return 400, {"error": {"code": "BadRequest", "message": "cut off"}}, {}
            self.breaks_after -= 1
        told = []
        for row in rows:
            domain = row["indicatorValue"]
            why = self.fails.get(domain) or self._wrong(row)
            mine = next((e for e in self.indicators.values() if e["indicatorValue"] == domain), None)
            if why is None and mine is None and len(self.indicators) >= 15_000:
                why = "Reached the limit of 15000 indicators"
            ident = mine["id"] if mine else None
            if why is None:
                ident = ident or self.add()
                self.indicators[ident] = {"id": ident, **row}
            told.append({"id": ident, "indicator": domain, "isFailed": why is not None, "failureReason": why})
        return 200, {"@odata.context": f"{self.url}/api/$metadata#x", "value": told}, {}

    def _wrong(self, row: dict[str, Any]) -> str | None:
        if set(row) - ALLOWED:
            return f"unknown field {sorted(set(row) - ALLOWED)}"
        if row["indicatorType"] != "DomainName" or any(c in row["indicatorValue"] for c in "/*: "):
            return "not a domain"
        if row["action"] not in ("Warn", "Block", "Audit", "Alert", "AlertAndBlock", "BlockAndRemediate", "Allowed"):
            return "unknown action"
        return None if row["title"] and row["description"] else "title and description are required"

    def _delete(self, ids: list[str]) -> tuple[int, Any, dict[str, str]]:
        if not 0 < len(ids) <= 500:
            return 400, {"error": {"code": "BadRequest", "message": "batch size"}}, {}
        if any(each not in self.indicators for each in ids):
            return 404, {"error": {"code": "NotFound", "message": "an id"}}, {}
        for each in ids:
            del self.indicators[each]
        return 204, None, {}


@contextmanager
def defender_cloud(folder: Path) -> Iterator[Cloud]:
    """One that runs until the block ends."""
    pem, context = certificate(folder)
    cloud = Cloud(ca=pem)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            parts = urlsplit(self.path)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            known = token if token and token == f"t{cloud.tokens}" else None
            status, plain, headers = cloud.answer(self.command, parts.path, parts.query, body, known)
            content = b"" if plain is None else json.dumps(plain).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cloud.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
