"""Hands files to the sidecar by the three calls of the upload API: each once, in order, until it has them.

A file carries its id; when an answer is lost the file is sent again under the same id and counts once.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import requests

from casb.settings import Secret

logger = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.5, 60.0
"""Seconds between attempts; each failure doubles them."""
_TIMEOUT = (5, 600)


class Away(Exception):
    """The sidecar cannot take it now; try again later."""


class Delivery:
    """The way to one sidecar."""

    def __init__(self, url: str, token: Secret, *, name: str, ca: str | None = None) -> None:
        """`ca` is a PEM file that alone is trusted for an https sidecar."""
        self._url = url.rstrip("/")
        self._name = name
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = ca or True
        self._http.headers["Authorization"] = f"Bearer {token.reveal()}"

    def send(self, path: Path, stream: str, source: str | None) -> None:
        """Hand a file over; on return the sidecar has it on its disk. Raises `Away`."""
        query = {"filename": path.name, "source": source or "auto"}
        place = self._json("GET", "/api/v1/discovery/upload_url/", params=query).get("url")
        if not isinstance(place, str):
            raise Away("no upload address in the answer")
        try:
            with path.open("rb") as file:
                # The address is the secret of this call: our token goes to the sidecar's own address alone.
                done = requests.put(place, data=file, timeout=_TIMEOUT, verify=self._http.verify, allow_redirects=False)
        except (requests.RequestException, OSError) as error:
            raise Away(f"the upload failed ({type(error).__name__})") from error
        if done.status_code != 200:
            raise Away(f"the upload was refused ({done.status_code})")
        body = {"uploadUrl": place, "inputStreamName": stream, "uploadId": f"{self._name}/{path.name}"}
        if self._json("POST", "/api/v1/discovery/done_upload/", json=body).get("success") is not True:
            raise Away("the upload was not confirmed")

    def beat(self, facts: dict[str, Any]) -> None:
        """Tell how the collector does. Raises `Away`."""
        self._json("POST", "/api/v1/discovery/collector-status/", json={"name": self._name, **facts})

    def close(self) -> None:
        self._http.close()

    def _json(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, self._url + path, timeout=_TIMEOUT, allow_redirects=False, **given)
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise Away(f"the sidecar did not answer ({type(error).__name__})") from error
        if response.status_code != 200 or not isinstance(answer, dict):
            reason = answer.get("error", "") if isinstance(answer, dict) else ""
            raise Away(f"the sidecar refused ({response.status_code} {str(reason)[:200]})")
        return answer
