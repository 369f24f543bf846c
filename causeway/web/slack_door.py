"""``/slack/events`` and ``/slack/actions``: what Slack tells the bot, each request proven by its signature.

A request is Slack's when it carries an HMAC of its time and body by the app's signing secret, no older than five minutes:
what was overheard cannot be sent again later. https://api.slack.com/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError
from causeway.web.sign_in import Parts

log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_MOST_BYTES: Final = 1_000_000
_VALID_FOR_S: Final = 300.0
_ACTION_TIMEOUT_S: Final = 2.7
"""Slack gives up after three seconds, and tells the person who pressed a button."""


@router.post("/slack/events", name="slack_events")
async def events(request: Request, parts: Parts) -> Response:
    """A message to the bot, or Slack's question whether this is the right address."""
    told = await _told(request, parts.slack.signing_secret if parts.slack else "", parts.clock, is_form=False)
    if isinstance(told, Response) or parts.slack is None:
        return told if isinstance(told, Response) else _not_set_up()
    if told.get("type") == "url_verification":
        return JSONResponse({"challenge": str(told.get("challenge", ""))})
    try:
        await parts.slack.take(told)
    except CausewayError as exc:  # Slack delivers it again
        log.warning("a question from Slack was not taken", extra={"reason": exc.message})
        return JSONResponse({"error": exc.code}, status_code=503)
    return Response(status_code=200)


@router.post("/slack/actions", name="slack_actions")
async def actions(request: Request, parts: Parts) -> Response:
    """A button that was pressed, or a form that was sent."""
    told = await _told(request, parts.slack.signing_secret if parts.slack else "", parts.clock, is_form=True)
    if isinstance(told, Response) or parts.slack is None:
        return told if isinstance(told, Response) else _not_set_up()
    try:
        async with asyncio.timeout(_ACTION_TIMEOUT_S):
            await parts.slack.press(told)
    except (CausewayError, TimeoutError) as exc:
        reason = exc.message if isinstance(exc, CausewayError) else "it took too long"
        log.warning("a thumb from Slack was not taken", extra={"reason": reason})
        return JSONResponse({"error": "not recorded"}, status_code=503)
    return Response(status_code=200)


def is_genuine(secret: str, *, timestamp: str, signature: str, body: bytes, clock: Clock) -> bool:
    """Whether a request was signed with ``secret`` within the last minutes."""
    try:
        age_s = abs(clock.now().timestamp() - int(timestamp))
    except ValueError:
        return False
    if not secret or age_s > _VALID_FOR_S:
        return False
    signed = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256)
    return hmac.compare_digest(f"v0={signed.hexdigest()}".encode(), signature.encode())


async def _told(
    request: Request, secret: str, clock: Clock, *, is_form: bool
) -> Mapping[str, Any] | Response:
    """What a genuine request says; an answer to any other."""
    if not secret:
        return _not_set_up()
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return JSONResponse({"error": "too large"}, status_code=413)
    timestamp = request.headers.get("x-slack-request-timestamp", "")
    signature = request.headers.get("x-slack-signature", "")
    if not is_genuine(secret, timestamp=timestamp, signature=signature, body=body, clock=clock):
        return JSONResponse({"error": "the signature is missing, wrong or too old"}, status_code=401)
    try:
        said = parse_qs(body.decode()).get("payload", [""])[0] if is_form else body
        told = json.loads(said)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return JSONResponse({"error": "this is no event of Slack's"}, status_code=400)
    return told


def _not_set_up() -> Response:
    return JSONResponse({"error": "Slack is not set up here"}, status_code=404)
