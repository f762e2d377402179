"""Bearer tokens (RFC 6750) and the services behind a request: what every endpoint begins with."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from casb.settings import Secret
from casb.sidecar.services import Services

UNAUTHORISED = {"WWW-Authenticate": 'Bearer realm="casb"'}


def services_of(request: Request) -> Services:
    """The services given to `build_app`."""
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(services_of)]


def bearer(request: Request) -> str | None:
    """The bearer token of a request, if there is one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def same(given: str, expected: Secret) -> bool:
    """Compares in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode(), expected.reveal().encode())


def from_proxy(request: Request, services: Here) -> None:
    """Lets the proxy pass, and nobody else: its token is good for handing over records and for nothing more."""
    token = bearer(request)
    if token is None or not same(token, services.ingest_token):
        services.counters.refused += 1
        raise HTTPException(401, "the proxy's token is needed", UNAUTHORISED)
