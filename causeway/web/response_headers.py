"""What surrounds every request: its number, its answer's headers, the last net under an unexpected error.

The content security policy allows nothing inline and nothing foreign, so text that slips through every other check
still cannot run or fetch: https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Final
from uuid import uuid4

from causeway.web.parts import AsgiApp, AsgiScope, Receive, Send

log = logging.getLogger(__name__)

REQUEST_ID: Final = "causeway.request_id"
"""The key of a request's number in its ASGI scope: 32 hexadecimal digits, as a trace's."""

_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
    b"cache-control": b"no-store",
}
"""Defaults: an answer that sets one of these itself keeps its own."""


def guarded(app: AsgiApp) -> AsgiApp:
    """``app`` with the headers and the number, and with its unexpected errors logged instead of raised into the server."""

    async def answer(scope: AsgiScope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                known = {name.lower() for name, _ in own}
                message = {
                    **message,
                    "headers": own + [pair for pair in _HEADERS.items() if pair[0] not in known],
                }
            await send(message)

        scope[REQUEST_ID] = uuid4().hex
        try:
            await app(scope, receive, send_with_headers)
        except Exception:
            # The framework has sent its 500 by now and raises again so that somebody logs it.
            about = {"method": scope["method"], "path": scope["path"], "trace_id": scope[REQUEST_ID]}
            log.exception("request failed", extra=about)

    return answer
