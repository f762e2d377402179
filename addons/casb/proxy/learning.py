"""Pages of apps that learn or deny unknown hosts: the policy that goes out with them, and what browsers report back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from mitmproxy import http

from casb.control.pages import Page
from casb.control.unknown import concerns, header_of, sighting
from casb.errors import StoreError
from casb.identity.sessions import SESSION_COOKIE, cookie
from casb.model.identity import Session
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.proxy.rewriting import hosts_of
from casb.proxy.runtime import Runtime, now
from casb.proxy.sealed import sealed
from casb.proxy.translate import State
from casb.store.learned_sqlite import LearnedHost, LearnedHosts

logger = logging.getLogger(__name__)

FLUSH = 1.0
"""Seconds between writes of what was seen."""
WAITING = 2000
"""Hosts that wait to be written, at most."""


class Learning:
    """Adds the policy after everything else has been done to a response's head."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.seen: dict[tuple[str, str], LearnedHost] = {}
        self._task: asyncio.Task[None] | None = None

    @sealed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Add the policy to documents and workers of an app that learns or denies."""
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or state.ours or state.exchange is None or state.route.app is None:
            return
        if state.route.app.unknown_hosts == "pass" or state.response is None:
            return
        destination = state.fields.get(b"sec-fetch-dest", b"").decode("latin-1")
        if not concerns(state.response.content_type, destination):
            return
        added = header_of(
            state.route.app,
            hosts_of(state),
            state.snapshot.catalog,
            page=state.route.authority,
            suffixed=state.route.mode == "suffix",
        )
        if added is not None:
            field = (added[0].encode(), added[1].encode())
            translate.set_response_fields(flow, [*response.headers.fields, field])

    async def report(self, flow: http.HTTPFlow, state: State) -> Page:
        """A browser's report. What it says is a claim of the page's user: it is counted, never acted on."""
        app = state.route.app
        session = await self._session(state)
        if app is None or session is None or app.unknown_hosts == "pass":
            return Page(status=204, headers=(), body=b"")
        found = sighting(flow.request.raw_content or b"", hosts_of(state), state.snapshot.catalog, state.route.origin)
        if found is None:
            return Page(status=204, headers=(), body=b"")
        if found.owner:
            self.runtime.counters["escaped_requests"] += 1
            logger.warning("a request left session control app=%s host=%s kind=%s", app.id, found.host, found.kind)
            return Page(status=204, headers=(), body=b"")
        self.runtime.counters["unknown_hosts"] += 1
        key, present = (app.id, found.host), now()
        known = self.seen.get(key)
        if known is not None:
            self.seen[key] = replace(
                known, last=present, count=known.count + 1, page=found.page, kinds=known.kinds | {found.kind}
            )
        elif len(self.seen) < WAITING:
            self.seen[key] = LearnedHost(
                app=app.id,
                host=found.host,
                first=present,
                last=present,
                count=1,
                page=found.page,
                kinds=frozenset({found.kind}),
                denied=app.unknown_hosts == "deny",
            )
        return Page(status=204, headers=(), body=b"")

    async def _session(self, state: State) -> Session | None:
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        return await self.runtime.sign_in.session_for(state.route.authority, cookie(header, SESSION_COOKIE))

    def running(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def done(self) -> None:
        """Write what is left, and stop."""
        if self._task is not None:
            self._task.cancel()
        self.flush()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            seen, self.seen = self.seen, {}
            if not seen:
                continue
            try:
                await asyncio.to_thread(self._write, seen)
            except Exception as error:
                self.seen = {**seen, **self.seen}
                if not isinstance(error, StoreError):
                    log_fault(logger, "learned hosts were not written")
                else:
                    logger.error("learned hosts are not written: %s", error)

    def flush(self) -> None:
        """Write what was seen, at the end."""
        seen, self.seen = self.seen, {}
        if seen:
            try:
                self._write(seen)
            except StoreError as error:
                logger.error("learned hosts were not written: %s", error)

    def _write(self, seen: dict[tuple[str, str], LearnedHost]) -> None:
        LearnedHosts(Path(self.runtime.snapshot.settings.data)).add(seen.values())
