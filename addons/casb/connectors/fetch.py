"""HTTPS to a few named hosts, with ceilings: how identity providers are talked to.

Knows no tokens. The environment is not asked for proxies or certificate bundles (`REQUESTS_CA_BUNDLE` would override
`verify`), redirects are not followed, no cookie is kept, and an answer is read up to a size and a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from casb.errors import ConnectorError

MAX_ANSWER: Final = 512 * 1024
TIMEOUT: Final = 5.0
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, read whole. The names are those that MSAL expects of an HTTP client."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def raise_for_status(self) -> None:
        """Raises `ConnectorError` unless the answer is a success."""
        if not 200 <= self.status_code < 300:
            raise ConnectorError("I002", f"the identity provider answered with status {self.status_code}")


class Fetcher:
    """GET and POST to `hosts` (`name` or `name:port`, as in a URL) only; usable from several threads.

    `ca` is a PEM file that alone is trusted; None: the system's roots. Raises `ConnectorError`.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        ca: str | None = None,
        timeout: float = TIMEOUT,
        limit: int = MAX_ANSWER,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = frozenset(host.lower().removesuffix(":443") for host in hosts)
        self._timeout = timeout
        self._limit = limit
        self._monotonic = monotonic
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = ca or True
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def allows(self, url: str) -> bool:
        """Whether the URL is https to one of the hosts, without user information."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or "\\" in url:
            return False
        host = parts.hostname if port in (None, 443) else f"{parts.hostname}:{port}"
        return host.lower() in self._hosts

    def get(self, url: str, params: Any = None, headers: Mapping[str, str] | None = None, **_: object) -> Reply:
        """One GET, read whole."""
        return self._send("GET", url, params=params, headers=headers)

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> Reply:
        """One POST, read whole."""
        return self._send("POST", url, params=params, data=data, headers=headers)

    def request(
        self, method: str, url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request of any method, read whole."""
        return self._send(method, url, data=data, headers=headers)

    def read(self, url: str) -> bytes:
        """The body of a successful GET."""
        reply = self.get(url)
        reply.raise_for_status()
        return reply.text.encode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Let the connections go."""
        self.session.close()

    def _send(
        self, method: str, url: str, *, params: Any = None, data: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        if not self.allows(url):
            raise ConnectorError(
                "I003",
                "the identity provider names an address that is not https on a configured host",
                hint="list further hosts of the provider under `hosts`",
            )
        ends = self._monotonic() + self._timeout
        try:
            with self.session.request(
                method,
                url,
                params=params,
                data=data,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.is_redirect:
                    raise ConnectorError("I002", "the identity provider answered with a redirect")
                body = self._body(response, ends)
                return Reply(
                    status_code=response.status_code, headers=dict(response.headers), text=body.decode("utf-8")
                )
        except UnicodeDecodeError as error:
            raise ConnectorError("I002", "the identity provider's answer is not UTF-8") from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ConnectorError(
                "I001", f"the identity provider at {urlsplit(url).netloc} cannot be reached: {type(error).__name__}"
            ) from error

    def _body(self, response: requests.Response, ends: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        # read1 returns what has come; a plain read would let a slow sender stretch the time-out per byte.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > self._limit:
                raise ConnectorError("I002", "the identity provider's answer is too large")
            if self._monotonic() > ends:
                raise ConnectorError("I001", "the identity provider answers too slowly")
            parts.append(chunk)
        return b"".join(parts)
