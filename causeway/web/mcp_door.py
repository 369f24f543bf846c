"""``/mcp``: the Model Context Protocol over streamable HTTP, for whoever sends a key.

Each request stands for itself: no session is kept, so any process may answer it. A cookie counts for nothing here, and
a page of another origin is refused, as the protocol asks: it could reach a server on the reader's own machine.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from causeway.contracts.identity import Principal
from causeway.errors import CausewayError, NotAllowedError, NotSignedInError
from causeway.web.parts import AsgiApp, AsgiScope, Receive, Send, WebParts
from causeway.web.problems import problem_response

if TYPE_CHECKING:
    from causeway.web.mcp_tools import McpTools

PATH = "/mcp"
_CALLER = "causeway.caller"
_MOST_BODY_BYTES = 1_000_000


def mcp_door(parts: WebParts) -> AsgiApp:
    """The application of `PATH`."""

    @cache
    def tools() -> McpTools:
        from causeway.web.mcp_tools import McpTools  # noqa: PLC0415 - heavy, and few need it

        logging.getLogger("mcp").setLevel(logging.WARNING)  # it tells of every request's beginning and end
        return McpTools(parts.search, parts.answerer)

    async def answer(scope: AsgiScope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            scope[_CALLER] = await _caller(request, parts)
        except CausewayError as exc:
            await _refusal(exc, scope)(scope, receive, send)
            return
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - as above

        manager = StreamableHTTPSessionManager(
            tools().server(_who),
            stateless=True,
            json_response=True,
            max_request_body_size=_MOST_BODY_BYTES,
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return answer


async def _caller(request: Request, parts: WebParts) -> Principal:
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        msg = "a page of another site may not call this"
        raise NotAllowedError(msg)
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        msg = "send 'Authorization: Bearer cw-...', a key made by 'causeway keys create'"
        raise NotSignedInError(msg)
    return await parts.keys.identify(key.strip())


def _refusal(error: CausewayError, scope: AsgiScope) -> Response:
    return problem_response(error, scope)


def _who(context: Any) -> Principal:
    """The caller of a tool, whom `_caller` found."""
    principal: Principal = context.request.scope[_CALLER]
    return principal
