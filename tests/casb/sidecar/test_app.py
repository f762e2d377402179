"""The route table: who may call what, for every route there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from asgi_client import Client
from casb.sidecar.app import build_app
from casb.sidecar.services import Services

OPEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /proxy.pac",
    "GET /sign-in",
    "GET /set-up",
    "GET /auth/start",
    "GET /auth/callback",
    "PUT /api/v1/discovery/upload/{secret}",  # the address is the secret
}
FORMS = {"POST /sign-in", "POST /set-up"}


def application(services: Services) -> FastAPI:
    guarded = build_app(services)
    while not isinstance(guarded, FastAPI):
        guarded = guarded._app  # type: ignore[attr-defined] # the guards hold what they guard
    return guarded


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    def below(items: object) -> Iterator[APIRoute]:
        for item in items:  # type: ignore[attr-defined] # routers hold routes and routers
            if isinstance(item, APIRoute):
                yield item
            else:
                original = getattr(item, "original_router", None)
                yield from below(getattr(original, "routes", ()))

    for route in below(app.routes):
        for method in sorted(route.methods or ()):
            yield method, route.path


def test_every_route_is_guarded_unless_named_here(client: Client, services: Services) -> None:
    table = set(routes(application(services)))
    assert len(table) > 25
    for method, path in table:
        if f"{method} {path}" in OPEN:
            continue
        response = client.request(method, path.replace("{record_id}", "x"))
        expected = {415} if f"{method} {path}" in FORMS else {303} if not path.startswith(("/v1", "/api")) else {401}
        assert response.status_code in expected, (method, path, response.status_code)
        if response.status_code == 303:
            assert response.headers["location"].startswith("/sign-in")


def test_the_docstring_lists_the_routes(services: Services) -> None:
    told = build_app.__doc__ or ""
    for _, path in routes(application(services)):
        first = "/" + path.split("/")[1]
        assert f"`{first}" in told or f" {first}" in told or path.startswith("/v1"), path


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_pages_that_load_from_elsewhere(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
