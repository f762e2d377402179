"""`/v1` and the operators' endpoints: what programs call. Every answer is JSON unless its name says otherwise."""

from __future__ import annotations

import hmac
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from casb.settings import Secret
from casb.sidecar.ingest import TooMany, take
from casb.sidecar.services import Services

UNAUTHORISED = {"WWW-Authenticate": 'Bearer realm="casb"'}


def services_of(request: Request) -> Services:
    """The services given to `build_app`."""
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(services_of)]


def bearer(request: Request) -> str | None:
    """The bearer token of a request (RFC 6750), if there is one."""
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


proxy_api = APIRouter(prefix="/v1", dependencies=[Depends(from_proxy)], tags=["proxy"])


@proxy_api.post("/records", summary="Hand over activity records")
async def post_records(request: Request, services: Here) -> dict[str, Any]:
    """NDJSON, one record per line, up to 5000. An id that is there already is ignored.

    On a 200 each line was kept, was there already, or is named under `rejected`; what was kept is on the disk.
    """
    try:
        receipt = await run_in_threadpool(take, await request.body(), services.records)
    except TooMany as error:
        raise HTTPException(413, "more than 5000 records in one batch") from error
    services.counters.accepted += receipt.accepted
    services.counters.duplicates += receipt.duplicates
    services.counters.rejected += len(receipt.rejected)
    return {
        "ok": True,
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": [{"index": each.index, "error": each.error} for each in receipt.rejected],
    }


@proxy_api.post("/proxy-status", summary="A proxy's heartbeat")
async def post_status(request: Request, services: Here) -> dict[str, Any]:
    """A JSON object with the proxy's `name` and whatever it tells about itself."""
    try:
        facts = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, "not JSON") from error
    name = facts.get("name") if isinstance(facts, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        raise HTTPException(400, "a proxy's status is an object with its name")
    await run_in_threadpool(services.portal.put_status, name, facts, services.clock())
    return {"ok": True}
