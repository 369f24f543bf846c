"""A reply that is there as a whole, given out as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator

from causeway.contracts.chat import ChatChunk, ChatReply

_PIECE = re.compile(r".{1,120}(?=\s)|.{1,120}", re.DOTALL)
"""About twenty tokens, cut before white space where there is some: few enough pieces to cost nothing, short enough for clients
that draw each one."""


def replay(reply: ChatReply) -> Iterator[ChatChunk]:
    """The chunks of ``reply``: what was thought, what was said, then the end with its usage; put together they are the reply."""
    for piece in _PIECE.findall(reply.reasoning):
        yield ChatChunk(reasoning=piece, model=reply.model)
    for piece in _PIECE.findall(reply.text):
        yield ChatChunk(text=piece, model=reply.model)
    yield ChatChunk(
        stop_reason=reply.stop_reason, usage=reply.usage, model=reply.model, cost_micros=reply.cost_micros
    )
