"""Calls an ASGI application as a server does, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from causeway.gateway.edge_path import EdgePath
from tests.gateway.v1_server import KEY

JSON = {"content-type": "application/json"}
SIGNED = {**JSON, "authorization": f"Bearer {KEY}"}


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def ask(
    edge: EdgePath,
    path: str,
    parts: Iterable[bytes] = (b"",),
    *,
    method: str = "POST",
    headers: dict[str, str] = SIGNED,
    is_gone: bool = False,
) -> Answer:
    """One request whose body comes in ``parts``; the client then stays, or is gone before its body is whole."""
    waiting, answer = [*parts], Answer()

    async def receive() -> dict[str, Any]:
        if waiting:
            part = waiting.pop(0)
            return {"type": "http.request", "body": part, "more_body": is_gone or bool(waiting)}
        if is_gone:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()  # a client that stays
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert answer.status == 0, "the response began twice"
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert answer.status, "a body without a beginning"
            assert not answer.is_whole, "more after the end"
            answer.body += message["body"]
            answer.is_whole = not message.get("more_body", False)

    sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": sent}
    await edge(scope, receive, send)
    return answer
