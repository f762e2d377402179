"""Revocation of device certificates: lists out of files and from addresses, questions to a responder.

Only addresses of the configuration are asked, never those in a certificate: whoever makes certificates must not choose
whom we talk to. Redirects are not followed, answers are read up to a size and a time. What was fetched is kept until it
is stale; while an address does not answer, what is there goes on as long as it is valid itself. For one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import DefaultCookiePolicy
from itertools import pairwise
from pathlib import Path
from typing import Final

import requests
from cachetools import TTLCache
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from urllib3.exceptions import HTTPError

from casb.errors import ConnectorError
from casb.identity.certificate_status import Status, by_answer, by_lists, question, read_list
from casb.settings import ClientCertificates

LARGEST_LIST: Final = 32 * 1024 * 1024
LARGEST_ANSWER: Final = 64 * 1024
TIMEOUT: Final = 5.0
READ_AGAIN: Final = 900.0  # seconds after which a list at an address is fetched anew
PAUSE: Final = 30.0  # seconds after a failure
LONGEST: Final = 3600.0  # seconds that an answer is believed, however long it would be valid
_CHUNK: Final = 64 * 1024

type Fetch = Callable[[str, bytes | None, int], bytes]


def fetch(url: str, body: bytes | None, limit: int) -> bytes:
    """GET, or POST of an OCSP request, read whole; raises `ConnectorError` I036."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            headers = {"Accept-Encoding": "identity"} | ({"Content-Type": "application/ocsp-request"} if body else {})
            ends = time.monotonic() + TIMEOUT
            with session.request(
                "POST" if body else "GET",
                url,
                data=body,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.status_code != 200:
                    raise ConnectorError("I036", f"the address {url} answered with status {answer.status_code}")
                parts: list[bytes] = []
                while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                    parts.append(chunk)
                    if sum(map(len, parts)) > limit or time.monotonic() > ends:
                        raise ConnectorError("I036", f"the answer of {url} is too large or too slow")
                return b"".join(parts)
    except (requests.RequestException, HTTPError, OSError) as error:
        raise ConnectorError("I036", f"the address {url} cannot be reached: {type(error).__name__}") from error


@dataclass(slots=True)
class _List:
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    stamp: object = None
    looked: float = float("-inf")


class Revocation:
    """What the sources of one configuration say. `clock` gives the present, `monotonic` seconds."""

    def __init__(
        self,
        settings: ClientCertificates,
        *,
        clock: Callable[[], datetime],
        ask: Fetch = fetch,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock, self._ask, self._monotonic = clock, ask, monotonic
        self._lists = {name: _List() for name in settings.crls}
        self._answers: TTLCache[bytes, tuple[Status, datetime]] = TTLCache(20_000, LONGEST, timer=monotonic)
        self._failed: float = float("-inf")
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="revocation")
        self._lock = asyncio.Lock()

    async def of(self, chain: tuple[x509.Certificate, ...]) -> Status:
        """The worst that is known of any link: REVOKED, then UNKNOWN, then GOOD. The anchor is trusted as it is."""
        if self._settings.revocation == "ignore":
            return Status.GOOD
        lists = await self._all_lists()
        worst = Status.GOOD
        for certificate, issuer in pairwise(chain):
            status = by_lists(certificate, issuer, lists, self._clock())
            if status is not Status.REVOKED and certificate is chain[0]:
                answered = await self._answer(certificate, issuer)
                status = answered if answered is not Status.UNKNOWN else status
            if status is Status.REVOKED:
                return status
            worst = status if status is Status.UNKNOWN else worst
        return worst

    def close(self) -> None:
        """Let threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _all_lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        async with self._lock:
            for name, kept in self._lists.items():
                await self._look(name, kept)
        return tuple(each for kept in self._lists.values() for each in kept.lists)

    async def _look(self, name: str, kept: _List) -> None:
        present = self._monotonic()
        remote = "://" in name
        if remote and present - kept.looked < (READ_AGAIN if self._fresh(kept) else PAUSE):
            return
        kept.looked = present
        try:
            if remote:
                data, stamp = await self._in_thread(self._ask, name, None, LARGEST_LIST), None
            else:
                facts = Path(name).stat()
                stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
                if stamp == kept.stamp:
                    return
                data = await self._in_thread(Path(name).read_bytes)
            kept.lists, kept.stamp = (await self._in_thread(read_list, data),), stamp
        except (ConnectorError, OSError, ValueError):
            return  # What is there goes on until it is stale; then nobody can tell.

    def _fresh(self, kept: _List) -> bool:
        soon = self._clock() + timedelta(seconds=READ_AGAIN)
        return bool(kept.lists) and all(each.next_update_utc and each.next_update_utc > soon for each in kept.lists)

    async def _answer(self, certificate: x509.Certificate, issuer: x509.Certificate) -> Status:
        if self._settings.ocsp is None:
            return Status.UNKNOWN
        key = certificate.fingerprint(hashes.SHA256())
        known = self._answers.get(key)
        if known is not None and self._clock() < known[1]:
            return known[0]
        if self._monotonic() - self._failed < PAUSE / 10:
            return Status.UNKNOWN
        try:
            data = await self._in_thread(self._ask, self._settings.ocsp, question(certificate, issuer), LARGEST_ANSWER)
        except ConnectorError:
            self._failed = self._monotonic()
            return Status.UNKNOWN
        found = by_answer(data, certificate, issuer, self._clock())
        if found[0] is not Status.UNKNOWN:
            self._answers[key] = found
        return found[0]

    async def _in_thread[T, **P](self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*arguments, **named))
