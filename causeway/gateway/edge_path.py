"""The raw ASGI path of ``/v1/*``: no framework between the socket and the gateway.

Who asks -> which endpoint -> the body, bounded -> the endpoint's answer -> the reply, in the vendor's own shape, errors
included. A client that goes away stops its model (`client_presence`).
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Protocol

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import ChatAssistant
from causeway.errors import CausewayError, NotFoundError, WrongMethodError
from causeway.gateway.anthropic_endpoints import AnthropicEndpoints
from causeway.gateway.client_presence import HEARTBEAT_S, while_present
from causeway.gateway.direct_reply import DirectReply, direct_reply
from causeway.gateway.exchange import Answer, Exchange
from causeway.gateway.offer import ListedGateway, Offer
from causeway.gateway.openai_endpoints import OpenaiEndpoints
from causeway.gateway.reply import Reply, Send
from causeway.gateway.request_body import ClientGoneError, Receive, read_body, require_body
from causeway.gateway.request_head import RequestHead
from causeway.gateway.vendor_errors import anthropic_error, openai_error
from causeway.settings import GatewaySettings

log = logging.getLogger(__name__)

AsgiScope = MutableMapping[str, Any]

_MODELS = "/v1/models"
_ANTHROPICS = "/v1/messages"
_MOST_CAUSES = 5
_MOST_FRAMES = 10


class KeyRing(Protocol):
    """Knows whose key it is."""

    def remembered(self, secret: str) -> Principal | None:
        """The key's owner, from memory and without waiting; None when `identify` is to be asked."""
        ...

    async def identify(self, secret: str) -> Principal:
        """The key's owner; raises `NotSignedInError` for a key that is not in force."""
        ...


class EdgePath:
    """The ASGI application of ``/v1/*``.

    Args:
        gateway: Answers the calls.
        keys: Know whose key it is.
        clock: Stamps replies.
        assistants: Products that answer a chat under a model's name; ``name:argument`` reaches ``name``.
        settings: The bounds of a request.
        heartbeat_s: How long a stream may be silent before its client is shown that it lives.
    """

    def __init__(
        self,
        *,
        gateway: ListedGateway,
        keys: KeyRing,
        clock: Clock,
        assistants: Mapping[str, ChatAssistant],
        settings: GatewaySettings,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._heartbeat_s = heartbeat_s
        self._keys = keys
        self._max_body_bytes = settings.max_body_bytes
        self._read_body = partial(
            read_body, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s
        )
        offer = Offer(gateway, assistants)
        openai, anthropic = OpenaiEndpoints(offer, clock, settings), AnthropicEndpoints(offer, settings)
        self._posts: dict[str, Answer] = {
            "/v1/chat/completions": openai.chat,
            "/v1/responses": openai.responses,
            "/v1/embeddings": openai.embeddings,
            "/v1/rerank": openai.rerank,
            "/v1/images/generations": openai.images,
            "/v1/messages": anthropic.messages,
            "/v1/messages/count_tokens": anthropic.count_tokens,
        }
        self._list_models = {False: openai.models, True: anthropic.models}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        head = RequestHead(scope["headers"])
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
        method = scope["method"]
        answer = self._posts.get(path) if method == "POST" else None
        direct = None if answer is None else direct_reply(send)
        reply = self._reply(send, path, head, direct)
        try:
            secret = head.secret
            principal = self._keys.remembered(secret) or await self._keys.identify(secret)
            principal.require(Scope.MODELS)
            if answer is None or direct is None:
                await self._answer_by_asgi(principal, method, path, head, receive, reply)
                return
            body = direct.take_body()
            if body is None:
                body = await self._read_body(head, receive)
            else:
                require_body(head, body, max_bytes=self._max_body_bytes)
            reply.beat_every_s = self._heartbeat_s
            direct.stops_on_leave = True
            await answer(Exchange(name="", body=body, call=head.call(principal), reply=reply))
        except CausewayError as exc:
            await reply.fail(exc)
        except ClientGoneError:
            log.debug("client went away")
        except asyncio.CancelledError:
            if direct is None or not direct.stopped:
                raise
            log.debug("client went away")
        except Exception as exc:  # noqa: BLE001 - a door: whatever broke, the caller is answered
            endpoint = path if path in self._posts else _MODELS
            # no traceback as such: an error's own words may repeat a prompt
            log.error("call failed", extra={"endpoint": endpoint, "fault": _fault(exc)})  # noqa: TRY400
            await reply.fail(CausewayError("Causeway failed on this call; its log tells why"))

    def _reply(self, send: Send, path: str, head: RequestHead, direct: DirectReply | None) -> Reply:
        is_shared = path not in self._posts
        if path.startswith(_ANTHROPICS) or (is_shared and head.is_anthropics):
            return Reply(send, anthropic_error, request_id_header=b"request-id", direct=direct)
        return Reply(send, openai_error, direct=direct)

    async def _answer_by_asgi(
        self, principal: Principal, method: str, path: str, head: RequestHead, receive: Receive, reply: Reply
    ) -> None:
        """Answer what is no call of our own server: lists of models, what another server serves, what is refused."""
        answer, name, allowed = self._endpoint(path, head)
        if method not in allowed:
            await _refuse_method(method, path, allowed, reply)
            return
        body = await self._read_body(head, receive) if method == "POST" else b""
        work = answer(Exchange(name=name, body=body, call=head.call(principal), reply=reply))
        if method == "POST":
            await while_present(work, receive, beat=reply.beat, beat_every_s=self._heartbeat_s)
        else:
            await work

    def _endpoint(self, path: str, head: RequestHead) -> tuple[Answer, str, tuple[str, ...]]:
        """What answers at ``path``, what ``path`` names beyond the endpoint, and the methods it takes."""
        answer = self._posts.get(path)
        if answer is not None:
            return answer, "", ("POST",)
        if path == _MODELS or path.startswith(f"{_MODELS}/"):
            name = path.removeprefix(_MODELS).removeprefix("/")
            return self._list_models[head.is_anthropics], name, ("GET", "HEAD")
        raise NotFoundError(f"there is no '{path[:200]}'; see docs/reference/http.md")


async def _refuse_method(method: str, path: str, allowed: tuple[str, ...], reply: Reply) -> None:
    allow = {"allow": ", ".join((*allowed, "OPTIONS"))}
    if method == "OPTIONS":
        await reply.nothing(204, allow)
        return
    error = WrongMethodError(f"{path[:200]} takes {' or '.join(allowed)}, not {method[:20]}")
    await reply.fail(error, allow)


def _fault(error: BaseException) -> str:
    """What kind of error this is and where it was raised, with its causes, but nothing that it says."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < _MOST_CAUSES:
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        frames = traceback.extract_tb(cause.__traceback__)[-_MOST_FRAMES:]
        at = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        told.append(f"{type(cause).__name__} at {at}")
        cause = cause.__cause__ or cause.__context__
    return "; because of ".join(told)
