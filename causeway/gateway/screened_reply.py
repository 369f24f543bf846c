"""The way back: values into replies, and replies made fit for people; whole or chunk by chunk.

A chunk may carry reasoning, text and pieces of several tool calls. Each is a text of its own, written one after another;
what was held back of one is shown before the next begins, so that doors that stream blocks in order stay in order.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, ToolCall, ToolCallDelta
from causeway.guard.output_filter import MarkdownFilter
from causeway.guard.plain_output import SecretRedactor
from causeway.guard.restore import Placeholders, StreamRestorer, Syntax


class ChunkFilter(Protocol):
    """Something that chunks of one reply go through, in order."""

    def feed(self, chunk: ChatChunk) -> ChatChunk:
        """``chunk`` as it may be shown; text may be held back for a later one, never past a stop reason."""
        ...

    def end(self) -> ChatChunk | None:
        """What was still held back when the stream ended early; None when nothing was."""
        ...


class Unchanged:
    """Lets every chunk through as it is."""

    def feed(self, chunk: ChatChunk) -> ChatChunk:
        """The same chunk."""
        return chunk

    def end(self) -> ChatChunk | None:
        """Nothing."""
        return None


UNCHANGED = Unchanged()

_Channel = int | str
"""``text``, ``reasoning``, or the index of a tool call."""


class ReplyRestorer:
    """Puts the values back into the chunks of one reply."""

    def __init__(self, placeholders: Placeholders, syntax: Syntax) -> None:
        self._placeholders = placeholders
        self._syntax: Syntax = syntax
        self._restorers: dict[_Channel, StreamRestorer] = {}
        self._current: _Channel = "text"

    def feed(self, chunk: ChatChunk) -> ChatChunk:
        """``chunk`` with values in place of the placeholders that are complete."""
        if not (chunk.text or chunk.reasoning or chunk.tool_calls or chunk.stop_reason):
            return chunk
        out = _Pieces()
        if chunk.reasoning:
            self._feed("reasoning", chunk.reasoning, out)
        if chunk.text:
            self._feed("text", chunk.text, out)
        for delta in chunk.tool_calls:
            out.calls.append(
                msgspec.structs.replace(delta, arguments=self._fed(delta.index, delta.arguments, out))
            )
        if chunk.stop_reason is not None:
            self._flush(out)
        return msgspec.structs.replace(
            chunk, text=out.text, reasoning=out.reasoning, tool_calls=tuple(out.calls)
        )

    def end(self) -> ChatChunk | None:
        """The beginning of a placeholder at which the stream broke off, as it was written."""
        out = _Pieces()
        self._flush(out)
        if not (out.text or out.reasoning or out.calls):
            return None
        return ChatChunk(text=out.text, reasoning=out.reasoning, tool_calls=tuple(out.calls))

    def _feed(self, channel: str, piece: str, out: _Pieces) -> None:
        shown = self._fed(channel, piece, out)
        out.add(channel, shown)

    def _fed(self, channel: _Channel, piece: str, out: _Pieces) -> str:
        if channel != self._current:
            self._flush(out)
            self._current = channel
        restorer = self._restorers.get(channel)
        if restorer is None:
            syntax: Syntax = "json" if isinstance(channel, int) else self._syntax
            restorer = self._restorers[channel] = StreamRestorer(self._placeholders, syntax)
        return restorer.feed(piece)

    def _flush(self, out: _Pieces) -> None:
        """Show what is held back of the text that was written last."""
        restorer = self._restorers.get(self._current)
        if restorer is not None and (held := restorer.end()):
            out.add(self._current, held)


class _Pieces:
    """The parts of a chunk in the making."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self.calls: list[ToolCallDelta] = []

    def add(self, channel: _Channel, piece: str) -> None:
        if channel == "text":
            self.text += piece
        elif channel == "reasoning":
            self.reasoning += piece
        elif piece:
            self.calls.append(ToolCallDelta(index=int(channel), arguments=piece))


def restored_reply(reply: ChatReply, placeholders: Placeholders, syntax: Syntax) -> ChatReply:
    """``reply`` with the values back in text, reasoning and the arguments of tool calls."""
    return msgspec.structs.replace(
        reply,
        text=placeholders.restore(reply.text, syntax),
        reasoning=placeholders.restore(reply.reasoning),
        tool_calls=tuple(
            ToolCall(call.id, call.name, placeholders.restore(call.arguments, "json"))
            for call in reply.tool_calls
        ),
    )


class ReplyFilter:
    """Makes the text of one reply fit for people: Markdown without what carries data out, and no secrets."""

    def __init__(self, hosts: frozenset[str] = frozenset()) -> None:
        self._markdown = MarkdownFilter(hosts)
        self._secrets = SecretRedactor()

    @property
    def removed(self) -> dict[str, int]:
        """How much of what was taken out so far; names of kinds and numbers, no content."""
        secrets = {"secret": self._secrets.count} if self._secrets.count else {}
        return {**self._markdown.removed, **secrets}

    def feed(self, chunk: ChatChunk) -> ChatChunk:
        """``chunk`` with its text filtered; reasoning and tool calls are not shown as Markdown and stay."""
        if not (chunk.text or chunk.stop_reason or chunk.tool_calls):
            return chunk
        text = self._secrets.feed(self._markdown.feed(chunk.text))
        if chunk.stop_reason is not None or chunk.tool_calls:
            text += self._rest()
        return chunk if text == chunk.text else msgspec.structs.replace(chunk, text=text)

    def end(self) -> ChatChunk | None:
        """What was held back when the stream broke off."""
        text = self._rest()
        return ChatChunk(text=text) if text else None

    def whole(self, reply: ChatReply) -> ChatReply:
        """A whole reply, filtered."""
        text = self._secrets.feed(self._markdown.feed(reply.text)) + self._rest()
        return reply if text == reply.text else msgspec.structs.replace(reply, text=text)

    def _rest(self) -> str:
        return self._secrets.feed(self._markdown.end()) + self._secrets.end()
