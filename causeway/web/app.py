"""The web as one ASGI application: pages and ``/api`` by FastAPI, ``/v1/*`` straight to the gateway's edge, ``/mcp``."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from causeway import __version__
from causeway.knowledge import Pages
from causeway.web import (
    admin_keys_api,
    admin_keys_pages,
    admin_pages,
    admin_people_api,
    admin_people_pages,
    admin_section_pages,
    admin_settings_api,
    admin_usage_api,
    alerts_api,
    alerts_pages,
    analyst_api,
    analyst_pages,
    ask_api,
    ask_pages,
    collection_moves_api,
    collections_api,
    collections_pages,
    conversations_api,
    conversations_pages,
    dashboard_pages,
    document_places_api,
    documents_api,
    documents_pages,
    evals_pages,
    feedback_api,
    feedback_pages,
    health_api,
    learning_pages,
    mcp_door,
    metrics_api,
    otlp_door,
    page_view_pages,
    palette_api,
    playground_api,
    problems,
    prompts_api,
    prompts_pages,
    reference_pages,
    review_api,
    review_pages,
    search_pages,
    sign_in,
    sign_in_pages,
    slack_door,
    sources_api,
    sources_pages,
    static_files,
    stats_api,
    styleguide_pages,
    traces_api,
    traces_pages,
)
from causeway.web.base_path import under
from causeway.web.parts import AsgiApp, AsgiScope, Receive, Send, WebParts
from causeway.web.response_headers import guarded
from causeway.web.stops import Stops

_ROUTERS = (
    ask_api.router,
    feedback_api.router,
    review_api.router,
    analyst_api.router,
    collections_api.router,
    conversations_api.router,
    documents_api.router,
    collection_moves_api.router,
    document_places_api.router,
    sources_api.router,
    slack_door.router,
    traces_api.router,
    prompts_api.router,
    playground_api.router,
    otlp_door.router,
    stats_api.router,
    alerts_api.router,
    admin_keys_api.router,
    admin_people_api.router,
    admin_settings_api.router,
    admin_usage_api.router,
    palette_api.router,
    health_api.router,
    metrics_api.router,
    reference_pages.router,
    sign_in_pages.router,
    ask_pages.router,
    search_pages.router,
    analyst_pages.router,
    conversations_pages.router,
    documents_pages.router,
    page_view_pages.router,
    collections_pages.router,
    sources_pages.router,
    dashboard_pages.router,
    traces_pages.router,
    alerts_pages.router,
    prompts_pages.router,
    evals_pages.router,
    feedback_pages.router,
    learning_pages.router,
    review_pages.router,
    admin_pages.router,
    admin_keys_pages.router,
    admin_people_pages.router,
    admin_section_pages.router,
    styleguide_pages.router,
    static_files.router,
)
_ABOUT = """The knowledge base over HTTP. Send `Authorization: Bearer cw-...`, a key made by `causeway keys create`.
Errors are problem JSON (RFC 9457) with a stable `code`. Models are at `/v1/*` in their vendors' own shapes."""


def routes() -> list[tuple[str, str]]:
    """Method and path of everything that the pages and ``/api`` answer."""
    found = {
        (method, route.path)
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    return sorted(found)


def build_app(parts: WebParts) -> AsgiApp:
    """The whole web over ``parts``; serve it at the root, whatever `ServerSettings.root_path` is."""
    # uvicorn's types are narrower than ASGI's: hence the casts
    inner = cast("Any", guarded(_pages(parts)))
    pages = cast("AsgiApp", ProxyHeadersMiddleware(inner, trusted_hosts="127.0.0.1"))

    tools = guarded(mcp_door.mcp_door(parts))

    def dispatch(scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope["path"].removeprefix(scope["root_path"]) if scope["type"] == "http" else ""
        if path.startswith("/v1/"):
            return parts.edge(scope, receive, send)
        return (tools if path == mcp_door.PATH else pages)(scope, receive, send)

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
    app.state.stops = Stops()
    app.state.account_attempts = sign_in.Attempts(parts.clock, window_s=900.0)
    for router in _ROUTERS:
        app.include_router(router)
    problems.install(app)
    return app
