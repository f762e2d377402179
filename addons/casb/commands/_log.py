"""Where commands find activities: the local database, a sidecar over HTTP, the spool."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote

import requests

from casb.errors import ConnectorError, Problems
from casb.settings import Secret, Settings
from casb.store.folder import load, load_draft, resolve_secret
from casb.store.records import open_records

TOKEN = "CASB_TOKEN"  # noqa: S105 - the name of a variable


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config`, `--url`, `--token`."""
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    parser.add_argument("--url", help="ask the sidecar at this address instead of the local database")
    parser.add_argument(
        "--token", metavar="REF", help=f"read token for --url: env:NAME or file:PATH (default: env:{TOKEN})"
    )


class Log(Protocol):
    """The activity log, wherever it is."""

    def get(self, record_id: str) -> dict[str, Any] | None:
        """One record."""

    def stream(self, filters: Mapping[str, Any], *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Records, newest first."""

    def close(self) -> None:
        """Let go."""


def settings_of(folder: str) -> Settings:
    """The deployment's settings; policies and apps may be broken meanwhile. Raises `Problems`."""
    draft = load_draft(folder)
    if draft.settings is None:
        raise Problems(list(draft.errors))
    return draft.settings


def open_log(arguments: argparse.Namespace) -> Log:
    """The log that the arguments name. Raises `StoreError`, `ConnectorError` or `Problems`."""
    if arguments.url:
        return HttpLog(arguments.url, token_of(arguments.token))
    settings = settings_of(arguments.config)
    records = settings.store.records
    if records is not None and not records.reveal():  # settings are read without asking for secrets
        settings = load(arguments.config).settings
    return open_records(settings)


def token_of(reference: str | None) -> Secret | None:
    """The read token. Raises `ConnectorError` (C091) when the reference leads nowhere."""
    if reference is None and TOKEN not in os.environ:
        return None
    try:
        return Secret(resolve_secret(reference or f"env:{TOKEN}"))
    except ValueError as error:
        raise ConnectorError("C091", f"the read token cannot be found: {error}") from error


class HttpLog:
    """A sidecar's `/v1`. Raises `ConnectorError` (C092)."""

    def __init__(self, url: str, token: Secret | None) -> None:
        self._url = url.rstrip("/")
        self._http = requests.Session()
        self._http.trust_env = False
        if token is not None:
            self._http.headers["Authorization"] = f"Bearer {token.reveal()}"

    def get(self, record_id: str) -> dict[str, Any] | None:
        answer = self._ask(f"/v1/activities/{quote(record_id, safe='')}", {})
        return None if answer is None else dict(answer["record"])

    def stream(self, filters: Mapping[str, Any], *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        cursor, left = None, limit
        while left is None or left > 0:
            size = 1000 if left is None else min(1000, left)
            answer = self._ask("/v1/activities", {**filters, "limit": size, **({"cursor": cursor} if cursor else {})})
            records = answer["records"] if answer else []
            yield from records
            left = None if left is None else left - len(records)
            cursor = answer and answer["cursor"]
            if not cursor:
                return

    def close(self) -> None:
        self._http.close()

    def _ask(self, path: str, query: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer; None for 404."""
        try:
            response = self._http.get(self._url + path, params=query, timeout=(3, 60), allow_redirects=False)
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise ConnectorError(
                "C092", f"the sidecar at {self._url} did not answer ({type(error).__name__})"
            ) from error
        if response.status_code == 404:
            return None
        if response.status_code != 200 or not isinstance(answer, dict):
            reason = answer.get("error", "") if isinstance(answer, dict) else ""
            hint = "make a read token in the portal under Access" if response.status_code == 401 else ""
            raise ConnectorError("C092", f"the sidecar refused: {reason or response.status_code}", hint=hint)
        return answer
