"""The sidecar's web application: the whole route table on one screen."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from casb import __version__
from casb.errors import StoreError
from casb.sidecar import api, errors
from casb.sidecar.guards import Application, BodyGuard, HeaderGuard, HostGuard, allowed_hosts
from casb.sidecar.services import Services

FORM = 64 * 1024  # bytes: the largest form the portal has, many times over
BATCH = 8 * 1024 * 1024  # bytes: eight times what the shipper sends


def build_app(services: Services) -> Application:
    """The application, guarded: serve it with any ASGI server."""
    app = FastAPI(
        title="casb sidecar",
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # the interactive pages load scripts from third parties
        redoc_url=None,
    )
    app.state.services = services
    app.include_router(api.proxy_api)
    app.add_exception_handler(HTTPException, errors.on_http)
    app.add_exception_handler(RequestValidationError, errors.on_validation)
    app.add_exception_handler(StoreError, errors.on_store)
    app.add_exception_handler(Exception, errors.on_bug)

    settings = services.settings
    https = (settings.sidecar.public_url or "").startswith("https:")
    bodies = BodyGuard(app, most=FORM, exceptions={"/v1/records": BATCH})
    return HeaderGuard(HostGuard(bodies, allowed_hosts(settings)), https=https)
