"""The web as one ASGI application: pages and ``/api`` by FastAPI, ``/v1/*`` straight to the gateway's edge."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from causeway import __version__
from causeway.knowledge import Pages
from causeway.web import (
    admin_keys_api,
    admin_keys_pages,
    admin_pages,
    admin_section_pages,
    admin_settings_api,
    admin_usage_api,
    analyst_api,
    analyst_pages,
    ask_api,
    ask_pages,
    document_places_api,
    documents_api,
    documents_pages,
    health_api,
    page_view_pages,
    problems,
    reference_pages,
    sign_in,
    sources_api,
    sources_pages,
    static_files,
    traces_api,
    traces_pages,
)
from causeway.web.base_path import under
from causeway.web.parts import AsgiApp, AsgiScope, Receive, Send, WebParts
from causeway.web.response_headers import guarded

_ROUTERS = (
    ask_api.router,
    analyst_api.router,
    documents_api.router,
    document_places_api.router,
    sources_api.router,
    traces_api.router,
    admin_keys_api.router,
    admin_settings_api.router,
    admin_usage_api.router,
    health_api.router,
    reference_pages.router,
    sign_in.router,
    ask_pages.router,
    analyst_pages.router,
    documents_pages.router,
    page_view_pages.router,
    sources_pages.router,
    traces_pages.router,
    admin_pages.router,
    admin_keys_pages.router,
    admin_section_pages.router,
    static_files.router,
)
_ABOUT = """The knowledge base over HTTP. Send `Authorization: Bearer cw-...`, a key made by `causeway keys create`.
Errors are problem JSON (RFC 9457) with a stable `code`. Models are at `/v1/*` in their vendors' own shapes."""


def build_app(parts: WebParts) -> AsgiApp:
    """The whole web over ``parts``; serve it at the root, whatever `ServerSettings.root_path` is."""
    # uvicorn's types are narrower than ASGI's: hence the casts
    inner = cast("Any", guarded(_pages(parts)))
    pages = cast("AsgiApp", ProxyHeadersMiddleware(inner, trusted_hosts="127.0.0.1"))

    async def dispatch(scope: AsgiScope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope["root_path"]) if scope["type"] == "http" else ""
        await (parts.edge if path.startswith("/v1/") else pages)(scope, receive, send)

    return under(parts.settings.root_path, dispatch)


def _pages(parts: WebParts) -> FastAPI:
    app = FastAPI(
        title="Causeway",
        version=__version__,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {"model": problems.Problem, "description": "A problem"},
            "5XX": {"model": problems.Problem, "description": "A problem"},
        },
    )
    app.state.parts = parts
    app.state.attempts = sign_in.Attempts(parts.clock)
    app.state.pages = Pages()
    for router in _ROUTERS:
        app.include_router(router)
    problems.install(app)
    return app
