"""Defender for Endpoint's indicator API: https://learn.microsoft.com/defender-endpoint/api/ti-indicator.

Talks to two configured hosts only (`Fetcher`: https, no redirects, bounded answers); a next link of an answer that
leads anywhere else is an error. Throttling (429) and trouble of the service (5xx) are waited out, within limits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from casb.connectors.fetch import Fetcher, Reply
from casb.discovery.endpoint_indicators import BATCH, Imported
from casb.errors import ConnectorError
from casb.settings import Endpoints

TIMEOUT: Final = 60.0
LARGEST: Final = 64 * 1024 * 1024
TRIES: Final = 5
LONGEST_WAIT: Final = 120.0
"""Seconds of one wait; whoever asks for more is asked again by the next push."""
PAGES: Final = 100
_EARLY: Final = 120.0
"""Seconds before its end that a token is taken for expired."""


class Defender:
    """As `IndicatorApi`. Raises `ConnectorError` D071."""

    def __init__(
        self,
        chosen: Endpoints,
        *,
        wait: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if chosen.authority is None or chosen.client_id is None or chosen.client_secret is None:
            hint = "set discovery.endpoints.authority, client_id and client_secret"
            raise ConnectorError("D071", "no application is configured for the indicator API", hint=hint)
        self._chosen = chosen
        self._secret = chosen.client_secret
        self._authority = chosen.authority
        self._wait = wait
        self._monotonic = monotonic
        self._token: tuple[str, float] | None = None
        hosts = {urlsplit(chosen.api).netloc, urlsplit(chosen.authority).netloc}
        self._fetcher = Fetcher(hosts, ca=chosen.ca, timeout=TIMEOUT, limit=LARGEST)

    def close(self) -> None:
        """Let connections go."""
        self._fetcher.close()

    def indicators(self) -> Iterator[Mapping[str, Any]]:
        """Every indicator of the tenant, page by page."""
        url = f"{self._chosen.api}/api/indicators"
        for _ in range(PAGES):
            answer = _object(self._call("GET", url))
            for each in answer.get("value") or ():
                if isinstance(each, Mapping):
                    yield each
            following = answer.get("@odata.nextLink")
            if not isinstance(following, str):
                return
            # The token goes to the API alone, whatever an answer says.
            if urlsplit(following).netloc != urlsplit(self._chosen.api).netloc:
                raise ConnectorError("D071", "the indicator API's next page is on another host")
            url = following
        raise ConnectorError("D071", f"the indicator API has more than {PAGES} pages of indicators")

    def submit(self, bodies: Sequence[Mapping[str, Any]]) -> list[Imported]:
        """Make or change up to 500."""
        if len(bodies) > BATCH:
            raise ValueError("a batch has at most 500 indicators")
        sent = {str(each["indicatorValue"]): each for each in bodies}
        answer = _object(self._call("POST", f"{self._chosen.api}/api/indicators/import", {"Indicators": list(bodies)}))
        found: list[Imported] = []
        for each in answer.get("value") or ():
            domain = str(each.get("indicator", "")).lower() if isinstance(each, Mapping) else ""
            if domain in sent:
                failed = str(each.get("failureReason") or "no reason given") if each.get("isFailed") else ""
                found.append(Imported(domain=domain, id=str(each.get("id") or ""), failed=failed))
        return found

    def remove(self, ids: Sequence[str]) -> None:
        """Delete up to 500; of those that are gone already the rest is deleted one by one."""
        if len(ids) > BATCH:
            raise ValueError("a batch has at most 500 indicators")
        reply = self._call(
            "POST", f"{self._chosen.api}/api/indicators/BatchDelete", {"IndicatorIds": list(ids)}, (404,)
        )
        if reply.status_code == 404:
            for each in ids:
                self._call("DELETE", f"{self._chosen.api}/api/indicators/{_segment(each)}", None, (404,))

    def _call(self, method: str, url: str, body: Mapping[str, Any] | None = None, fine: tuple[int, ...] = ()) -> Reply:
        """One call, tried again while the service asks for patience."""
        data = None if body is None else json.dumps(body).encode()
        renewed = False
        for attempt in range(TRIES):
            headers = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/json"}
            reply = self._send(method, url, data, headers)
            status = reply.status_code
            if 200 <= status < 300 or status in fine:
                return reply
            if status == 401 and not renewed:
                self._token, renewed = None, True
            elif status == 429 or status >= 500:
                if attempt + 1 < TRIES:
                    self._wait(_pause(reply, attempt))
            else:
                raise ConnectorError("D071", f"the indicator API answered with status {status}{_why(reply)}")
        raise ConnectorError(
            "D071", f"the indicator API answered {TRIES} times with status {status}, last{_why(reply)}"
        )

    def _bearer(self) -> str:
        """A token by client credentials, kept until shortly before its end."""
        if self._token is not None and self._monotonic() < self._token[1]:
            return self._token[0]
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self._chosen.client_id or "",
                "client_secret": self._secret.reveal(),
                "scope": self._chosen.scope,
            }
        ).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        for attempt in range(TRIES):
            reply = self._send("POST", f"{self._authority}/oauth2/v2.0/token", form, headers)
            if reply.status_code != 429 and reply.status_code < 500:
                break
            if attempt + 1 < TRIES:
                self._wait(_pause(reply, attempt))
        if reply.status_code != 200:
            # What the token endpoint says in full may name the application; its error word does not.
            raise ConnectorError("D071", f"no token was given, status {reply.status_code}{_word(reply)}")
        answer = _object(reply)
        token, life = answer.get("access_token"), answer.get("expires_in", 0)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ConnectorError("D071", "the token endpoint gave no token")
        seconds = float(life) if isinstance(life, int | float) else 0.0
        self._token = (token, self._monotonic() + max(0.0, seconds - _EARLY))
        return token

    def _send(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> Reply:
        try:
            return self._fetcher.request(method, url, data=data, headers=headers)
        except ConnectorError as error:
            message = error.message.replace("the identity provider", "the indicator API")
            raise ConnectorError("D071", message) from error


def _pause(reply: Reply, attempt: int) -> float:
    """Seconds to wait: what the service asks for, else twice as long each time."""
    asked = {name.lower(): value for name, value in reply.headers.items()}.get("retry-after", "")
    seconds = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 2.0**attempt
    if seconds > LONGEST_WAIT:
        raise ConnectorError("D071", f"the indicator API asks for {seconds:.0f} seconds of patience; push again then")
    return seconds


def _object(reply: Reply) -> dict[str, Any]:
    try:
        value = json.loads(reply.text)
    except (ValueError, RecursionError) as error:
        raise ConnectorError("D071", "the indicator API's answer is not JSON") from error
    if not isinstance(value, dict):
        raise ConnectorError("D071", "the indicator API's answer is no JSON object")
    return value


def _why(reply: Reply) -> str:
    """What the API says about an error, in one line: `{"error": {"code", "message"}}`."""
    try:
        error = json.loads(reply.text).get("error")
        text = f"{error.get('code', '')} {error.get('message', '')}" if isinstance(error, dict) else ""
    except (ValueError, AttributeError, RecursionError):
        return ""
    clean = "".join(char if char.isprintable() else " " for char in text).strip()[:200]
    return f": {clean}" if clean else ""


def _word(reply: Reply) -> str:
    try:
        error = json.loads(reply.text).get("error")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return f": {error}" if isinstance(error, str) and error.isidentifier() and len(error) < 60 else ""


def _segment(text: str) -> str:
    if not text.isascii() or not text.replace("-", "").isalnum():
        raise ConnectorError("D071", "the indicator API gave an id that is none")
    return text
