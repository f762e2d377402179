"""What goes wrong, as an answer: JSON for programs, a page for people. One shape for all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from casb.errors import CatalogError, Problems, StoreError
from casb.sidecar.pages import page

logger = logging.getLogger(__name__)

CALLER = frozenset({"S030", "S031", "S032", "S033", "D002", "D030", "D031", "D032", "D040", "D050", "D070"})
"""Codes of `StoreError` that are the caller's to mend; all others mean that the store is away."""


def error_body(status: int, error: str, errors: Sequence[str] = ()) -> dict[str, object]:
    """`{"ok": false, "error", "errors", "status"}`, the same on every endpoint."""
    return {"ok": False, "error": error, "errors": list(errors) or [error], "status": status}


def wants_page(request: Request) -> bool:
    """People get pages; `/v1` and whoever does not ask for HTML get JSON."""
    return not request.url.path.startswith(("/v1", "/api")) and "text/html" in request.headers.get("accept", "")


def answer(request: Request, status: int, error: str, errors: Sequence[str] = ()) -> Response:
    """The answer that fits who asks."""
    if wants_page(request):
        title = HTTPStatus(status).phrase
        return page(request, "error.html", status=status, title=title, message=error, errors=errors)
    return JSONResponse(error_body(status, error, errors), status)


async def on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    response = answer(request, error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    errors = [f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors()]
    return answer(request, 422, errors[0] if errors else "the request is not valid", errors)


async def on_store(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)  # noqa: S101 - registered for this class alone
    if error.code in CALLER:
        return answer(request, 400, str(error))
    logger.error("store failed path=%s error=%r", request.url.path, str(error))
    return answer(request, 503, "the store is away; try again")


async def on_catalog(request: Request, error: Exception) -> Response:
    """A change of the catalog that is refused: nothing was changed."""
    assert isinstance(error, CatalogError | Problems)  # noqa: S101 - registered for these classes alone
    every = error.errors if isinstance(error, Problems) else [error]
    status = 404 if any(each.code == "C221" for each in every) else 400
    return answer(request, status, every[0].message, [str(each) for each in every])


async def on_bug(request: Request, error: Exception) -> Response:
    return answer(request, 500, "an error of ours; the service log has the details")
