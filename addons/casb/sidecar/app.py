"""The sidecar's web application: the whole route table on one screen."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from casb import __version__
from casb.errors import CatalogError, Problems, StoreError
from casb.sidecar import (
    access,
    alerts,
    api,
    discovery_api,
    endpoints_api,
    enforcement_api,
    errors,
    learned,
    operate,
    policies,
    portal,
    protected,
    requests,
    sessions,
    shadow_app,
    shadow_apps,
    shadow_catalog,
    shadow_dashboard,
    shadow_executive,
    shadow_manage,
    signin,
)
from casb.sidecar.auth import SignInFirst, is_https
from casb.sidecar.guards import Application, BodyGuard, HeaderGuard, HostGuard, allowed_hosts
from casb.sidecar.services import Services

FORM = 64 * 1024  # bytes: the largest form the portal has, many times over
BATCH = 8 * 1024 * 1024  # bytes: eight times what the shipper sends


def build_app(services: Services, provider: signin.AdminProvider | None = None) -> Application:
    """The application, guarded: serve it with any ASGI server. `provider` lets admins sign in with it.

    | path | who | what |
    |---|---|---|
    | `/healthz` `/readyz` `/metrics` `/proxy.pac` | anybody | operate.py |
    | `/v1/records` `/v1/proxy-status` (POST) | the proxy's token | api.py |
    | `/v1/activities[/export][/ID]` `/v1/apps` `/v1/policies` | a session or a read token | api.py |
    | `/v1/discovery/…` | a session or a read token; changes: an admin's session | discovery_api.py |
    | `/api/discovery/…` `/api/v1/discovery/…` | an upload token, the collector, an admin's session | discovery_api.py |
    | `/v1/catalog/tags…` `/v1/catalog/profiles…` `/v1/catalog/protected` | as above | enforcement_api.py |
    | `/v1/block-lists…` `/v1/feeds…` `/api/discovery_block_scripts/` | or a feed token | enforcement_api.py |
    | `/v1/openapi.json` | anybody | generated |
    | `/sign-in` `/set-up` `/sign-out` `/auth/start` `/auth/callback` | people | signin.py |
    | `/` `/activities[/ID]` `/apps` `/audit` | a session | portal.py |
    | `/policies[/ID]` `/policies/try` | a session; putting back in force: an admin's | policies.py |
    | `/requests[/ID]` | a session; answering: an admin's | requests.py |
    | `/alerts[/ID]` `/v1/alerts[/ID]` | a session or a read token; closing: an admin's | alerts.py |
    | `/discovery…` | a session; changes: an admin's | shadow_*.py |
    | `/catalog…` | a session; changes: an admin's; wishes: anybody's | shadow_app.py, shadow_catalog.py |
    | `/access…` | a session; changes: an admin's | access.py |
    | `/protected` `/protected/{revoke,restore,expire}` | a session; changes: an admin's | protected.py |
    | `/v1/protected[/ID]` | a session or a read token | protected.py |
    | `/sessions[/revoke]` `/v1/sessions/revoke` | a session; ending: an admin's | sessions.py |
    | `/learned[/export.csv]` `/learned/attach` | a session; changes: an admin's | learned.py |
    | `/static/…` | anybody | style, script, icon |
    """
    app = FastAPI(
        title="casb sidecar",
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # the interactive pages load scripts from third parties
        redoc_url=None,
    )
    app.state.services = services
    app.state.provider = provider
    app.state.turnstile = signin.Turnstile()
    for router in (
        operate.router,
        api.proxy_api,
        api.read_api,
        signin.router,
        portal.router,
        policies.router,
        requests.router,
        alerts.router,
        alerts.api,
        access.router,
        sessions.router,
        sessions.api,
        enforcement_api.api,
        enforcement_api.lists,
        learned.router,
        protected.router,
        protected.api,
        shadow_dashboard.router,
        shadow_manage.router,
        shadow_executive.router,
        shadow_executive.api,
        shadow_apps.router,
        shadow_app.router,
        shadow_catalog.router,
        discovery_api.reading,
        discovery_api.changing,
        discovery_api.uploading,
        discovery_api.receiving,
        discovery_api.classic,
        endpoints_api.receiving,
        endpoints_api.reading,
        endpoints_api.changing,
    ):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=str(files("casb.sidecar") / "static")))
    app.add_exception_handler(SignInFirst, signin.sign_in_first)
    app.add_exception_handler(HTTPException, errors.on_http)
    app.add_exception_handler(RequestValidationError, errors.on_validation)
    app.add_exception_handler(StoreError, errors.on_store)
    app.add_exception_handler(CatalogError, errors.on_catalog)
    app.add_exception_handler(Problems, errors.on_catalog)
    app.add_exception_handler(Exception, errors.on_bug)

    bodies = BodyGuard(
        app,
        most=FORM,
        exceptions={
            "/v1/records": BATCH,
            endpoints_api.EVENTS: endpoints_api.LARGEST,
            shadow_catalog.IMPORT: shadow_catalog.IMPORT_BYTES,
        },
        streamed=discovery_api.STREAMED,
    )
    return HeaderGuard(HostGuard(bodies, allowed_hosts(services.settings)), https=is_https(services.settings))
