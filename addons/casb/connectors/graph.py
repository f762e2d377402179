"""Microsoft Graph as an application: memberships, devices, Conditional Access policies.

Addresses come from the configuration and the person's object id alone; the one in a token (`_claim_sources`) is never
asked. What was found is used for a while without asking, and for longer while Graph is away. Raises `ConnectorError`
(I040: away, limiting us, or refusing our application) and `TokenError` (I041: the directory knows the person no more).
For one event loop.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msal
from cachetools import LRUCache

from casb.connectors.fetch import Fetcher, Reply
from casb.errors import CasbError, ConnectorError, TokenError
from casb.settings import Graph as GraphSettings
from casb.settings import Provider

AT_ONCE: Final = 20  # ids in one checkMemberGroups
GONE: Final = 60.0  # seconds that somebody unknown is not asked about again
PAUSE: Final = 5.0  # seconds after a failure without a time of its own
LONGEST_PAUSE: Final = 300.0
PAGES: Final = 20
LARGEST: Final = 8 * 1024 * 1024
TIMEOUT: Final = 10.0
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


@dataclass(slots=True)
class _Kept:
    value: Any
    at: float
    gone: TokenError | None = None


class Graph:
    """One provider's Graph. `monotonic` gives seconds."""

    def __init__(
        self,
        provider: Provider,
        settings: GraphSettings,
        *,
        fetcher: Fetcher | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._provider = provider
        self._authority = provider.authority.rstrip("/")
        self._monotonic = monotonic
        self._graph = fetcher or Fetcher(
            [urlsplit(settings.url).netloc], ca=settings.ca, timeout=TIMEOUT, limit=LARGEST, monotonic=monotonic
        )
        hosts = [urlsplit(self._authority).netloc, *provider.hosts]
        self._login = Fetcher(hosts, ca=provider.ca, timeout=TIMEOUT, monotonic=monotonic)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"graph-{provider.id}")
        self._app: msal.ConfidentialClientApplication | None = None
        self._kept: LRUCache[tuple[object, ...], _Kept] = LRUCache(50_000)
        self._flights: dict[tuple[object, ...], asyncio.Task[Any]] = {}
        self._closed_until = float("-inf")

    async def member_of(self, object_id: str, groups: Collection[str]) -> frozenset[str]:
        """Which of these groups (object ids) a person is in, over groups in groups."""
        wanted = tuple(sorted({each.lower() for each in groups}))
        if not wanted:
            return frozenset()
        user = _guid(object_id)

        async def ask() -> frozenset[str]:
            found: set[str] = set()
            for at in range(0, len(wanted), AT_ONCE):
                body = {"groupIds": wanted[at : at + AT_ONCE]}
                answer = await self._call("POST", f"/v1.0/users/{user}/checkMemberGroups", body)
                value = answer.get("value")
                if not isinstance(value, list):
                    raise ConnectorError("I040", "Graph's answer is malformed")
                found.update(each.lower() for each in value if isinstance(each, str))
            return frozenset(found & set(wanted))

        found: frozenset[str] = await self._known(("member", user, wanted), ask)
        return found

    async def device(self, device_id: str) -> Mapping[str, Any] | None:
        """The device with this `deviceId`; None: there is none, or more than one."""
        device = _guid(device_id)
        fields = "deviceId,accountEnabled,isCompliant,isManaged,trustType"
        query = f"$filter={quote(f'deviceId eq {chr(39)}{device}{chr(39)}')}&$select={fields}"

        async def ask() -> Mapping[str, Any] | None:
            answer = await self._call("GET", f"/v1.0/devices?{query}")
            value = answer.get("value")
            found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
            one = found[0] if len(found) == 1 else None
            return one if one and str(one.get("deviceId", "")).lower() == device else None

        found: Mapping[str, Any] | None = await self._known(("device", device), ask)
        return found

    async def policies(self) -> tuple[Mapping[str, Any], ...]:
        """All Conditional Access policies. Not kept: whoever asks does so once a day."""
        path, found = "/v1.0/identity/conditionalAccess/policies", []
        for _ in range(PAGES):
            answer = await self._call("GET", path)
            value = answer.get("value")
            if not isinstance(value, list):
                raise ConnectorError("I040", "Graph's answer is malformed")
            found += [each for each in value if isinstance(each, dict)]
            link = answer.get("@odata.nextLink")
            if link is None:
                return tuple(found)
            if not isinstance(link, str) or not link.startswith(f"{self.settings.url}/v1.0/"):
                raise ConnectorError("I040", "Graph's answer goes on somewhere else")
            path = link.removeprefix(self.settings.url)
        raise ConnectorError("I040", "Graph's answer does not end")

    async def close(self) -> None:
        """Let threads and connections go."""
        tasks = list(self._flights.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._graph.close()
        self._login.close()

    # --- what was found before

    async def _known(self, key: tuple[object, ...], ask: Callable[[], Awaitable[Any]]) -> Any:
        kept = self._kept.get(key)
        age = self._monotonic() - kept.at if kept else float("inf")
        if kept and kept.gone is not None:
            if age < GONE:
                raise TokenError(kept.gone.code, kept.gone.message)
            kept = None
        if kept and age < self.settings.fresh:
            return kept.value
        try:
            return await self._together(key, ask)
        except ConnectorError:
            if kept and age < self.settings.usable:
                return kept.value
            raise

    async def _together(self, key: tuple[object, ...], ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask once for all who want to know at the same time."""
        task = self._flights.get(key)
        if task is None:
            task = self._flights[key] = asyncio.ensure_future(self._ask(key, ask))
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[object, ...], ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            value = await ask()
        except TokenError as error:
            self._kept[key] = _Kept(None, self._monotonic(), error)
            raise
        self._kept[key] = _Kept(value, self._monotonic())
        return value

    # --- one request

    async def _call(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        left = self._closed_until - self._monotonic()
        if left > 0:
            raise ConnectorError("I040", f"Graph did not answer a moment ago; asked again in {left:.0f} s")
        try:
            reply = await self._in_thread(self._send, method, path, body)
        except CasbError as error:
            self._closed_until = self._monotonic() + PAUSE
            raise ConnectorError("I040", error.message) from error
        return self._read(reply)

    def _read(self, reply: Reply) -> Mapping[str, Any]:
        headers = {name.lower(): value for name, value in reply.headers.items()}
        status = reply.status_code
        if status == 401 and "insufficient_claims" in headers.get("www-authenticate", ""):
            raise TokenError("I041", "the directory has revoked the person's sessions")
        if status == 404:
            raise TokenError("I041", "the directory knows the person no more")
        if status != 200:
            self._closed_until = self._monotonic() + _pause(headers.get("retry-after", ""))
            raise ConnectorError("I040", f"Graph answered with status {status}")
        try:
            document = json.loads(reply.text)
        except (ValueError, RecursionError) as error:
            raise ConnectorError("I040", "Graph's answer is not JSON") from error
        if not isinstance(document, dict):
            raise ConnectorError("I040", "Graph's answer is malformed")
        return document

    def _send(self, method: str, path: str, body: object) -> Reply:
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        return self._graph.request(method, f"{self.settings.url}{path}", data=data, headers=headers)

    def _token(self) -> str:
        """From MSAL's own cache while it is good."""
        if self._app is None:
            self._app = msal.ConfidentialClientApplication(
                self.settings.client_id,
                client_credential=self._credential(),
                oidc_authority=self._authority,
                http_client=self._login,
            )
        parts = urlsplit(self.settings.url)
        result = self._app.acquire_token_for_client([f"{parts.scheme}://{parts.netloc}/.default"])
        token = result.get("access_token") if isinstance(result, dict) else None
        if not isinstance(token, str):
            raise ConnectorError("I040", "the identity provider gives our application no token for Graph")
        return token

    def _credential(self) -> str | dict[str, str]:
        if self.settings.client_certificate:
            blocks = {match[1]: match[0] for match in _PEM.finditer(Path(self.settings.client_certificate).read_text())}
            key = next((text for name, text in blocks.items() if name.endswith("PRIVATE KEY")), "")
            return {"private_key": key, "public_certificate": blocks.get("CERTIFICATE", "")}
        if self.settings.client_secret is None:
            raise ConnectorError("I040", "nothing proves us to Graph")
        return self.settings.client_secret.reveal()

    async def _in_thread[T](self, work: Callable[..., T], *arguments: object) -> T:
        try:
            async with asyncio.timeout(2 * TIMEOUT):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except TimeoutError as error:
            raise ConnectorError("I040", "Graph does not answer in time") from error
        except CasbError:
            raise
        except Exception as error:
            # MSAL's messages can hold parts of a token: only the kind is told.
            raise ConnectorError("I040", f"Graph cannot be asked: {type(error).__name__}") from None


def _guid(text: str) -> str:
    """An object id that may stand in an address."""
    found = text.lower()
    if _GUID.fullmatch(found) is None:
        raise ConnectorError("I040", "the directory can be asked about object ids only")
    return found


def _pause(text: str) -> float:
    """`Retry-After` in seconds (RFC 9110 section 10.2.3), within bounds."""
    return min(float(text), LONGEST_PAUSE) if text.isascii() and text.isdigit() and len(text) < 6 else PAUSE
