"""Anthropic's messages as a caller asks for them: JSON to `ChatRequest`.

Shape after https://docs.anthropic.com/en/api/messages. Parameters that only Anthropic's servers know travel under
``options["anthropic"]``, which no other vendor is sent; tools that run there are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from causeway.contracts.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Part,
    RawPart,
    TextPart,
    Tool,
    ToolCall,
)
from causeway.errors import InvalidInputError
from causeway.gateway.openai_wire import Schema, TokenLimit, passed_on, plain
from causeway.gateway.request_body import ModelName, read_as, read_object, require_few

_BUDGET_OF_EFFORT = ((4_096, "low"), (16_384, "medium"))
_REFUSED = {
    "mcp_servers": "MCP servers are reached by Anthropic alone; call their tools yourself and send them as 'tools'",
    "container": "code runs in Anthropic's containers alone; leave it out",
}
_ONLY_THEIRS = (
    "cache_control",
    "context_management",
    "inference_geo",
    "service_tier",
    "speed",
    "thinking",
)
_IGNORED = frozenset(("betas", "diagnostics", "user_profile_id", "workspace_id"))


class _Turn(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class _Tool(msgspec.Struct):
    name: str
    input_schema: Schema
    description: str | None = None
    strict: bool | None = None


class _ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: TokenLimit | None = None


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: Schema


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None
    effort: str | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _CountableBody(msgspec.Struct):
    model: ModelName
    messages: list[_Turn]
    system: str | list[dict[str, Any]] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None


class _Body(_CountableBody, kw_only=True):
    max_tokens: TokenLimit
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    metadata: _Metadata | None = None


_READ = frozenset(_Body.__struct_fields__) | _IGNORED | frozenset((*_REFUSED, *_ONLY_THEIRS))


class MessagesCall(msgspec.Struct, frozen=True):
    """A parsed call: the request, and whether its reply is streamed."""

    request: ChatRequest
    is_stream: bool


def read_messages(body: bytes, *, max_messages: int) -> MessagesCall:
    """A ``/v1/messages`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape, or asks for what is not offered; the message names it.
    """
    raw = _read(body)
    parsed = read_as(_Body, raw)
    options = passed_on(raw, _READ)
    options.update(_options(parsed, raw))
    if parsed.metadata and parsed.metadata.user_id:
        options["user"] = parsed.metadata.user_id
    request = msgspec.structs.replace(
        _countable(parsed, max_messages),
        max_tokens=parsed.max_tokens,
        temperature=parsed.temperature,
        top_p=parsed.top_p,
        stop=tuple(parsed.stop_sequences or ()),
        options=options,
    )
    return MessagesCall(request, is_stream=bool(parsed.stream))


def read_countable(body: bytes, *, max_messages: int) -> ChatRequest:
    """A ``/v1/messages/count_tokens`` body.

    Raises:
        InvalidInputError: As `read_messages`.
    """
    return _countable(read_as(_CountableBody, _read(body)), max_messages)


def _read(body: bytes) -> dict[str, Any]:
    raw = read_object(body)
    for name, remedy in _REFUSED.items():
        if raw.get(name):
            raise InvalidInputError(f"'{name}' is not offered: {remedy}")
    tools = raw.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "custom":
            raise InvalidInputError(
                f"the tool '{kind[:50]}' runs at Anthropic and is not offered; send tools with an 'input_schema'"
            )
    return raw


def _countable(parsed: _CountableBody, max_messages: int) -> ChatRequest:
    require_few("messages", len(parsed.messages), max_messages)
    schema = parsed.output_config and parsed.output_config.format
    return ChatRequest(
        model=parsed.model,
        messages=tuple(_messages(parsed)),
        tools=tuple(
            [Tool(t.name, t.description or "", t.input_schema, t.strict) for t in parsed.tools or ()]
        ),
        tool_choice=_tool_choice(parsed.tool_choice),
        json_schema=schema.schema if schema else None,
    )


def _options(parsed: _CountableBody, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAI's chat calls otherwise, and under ``anthropic`` what it lacks: only Anthropic's servers get that."""
    options: dict[str, Any] = {}
    if parsed.tool_choice and parsed.tool_choice.disable_parallel_tool_use:
        options["parallel_tool_calls"] = False
    theirs = {name: raw[name] for name in _ONLY_THEIRS if raw.get(name) is not None}
    if _wants_prompt_cache(raw):
        theirs.setdefault("cache_control", {"type": "ephemeral"})
    if theirs:
        options["anthropic"] = theirs
    effort = parsed.output_config.effort if parsed.output_config else None
    if effort is None and parsed.thinking and parsed.thinking.budget_tokens is not None:
        budget = parsed.thinking.budget_tokens
        effort = next((word for most, word in _BUDGET_OF_EFFORT if budget < most), "high")
    if effort is not None:
        options["reasoning_effort"] = effort
    return options


def _wants_prompt_cache(raw: Mapping[str, Any]) -> bool:
    """Whether any block asks for Anthropic's prompt cache; one request for the whole call stands for them all."""
    system, tools = raw.get("system"), raw.get("tools")
    blocks: list[Any] = [*(system if isinstance(system, list) else ()), *(tools or ())]
    for message in raw["messages"]:
        if isinstance(message["content"], list):
            blocks += message["content"]
    return any(block.get("cache_control") for block in blocks)


def _tool_choice(choice: _ToolChoice | None) -> str | Mapping[str, object] | None:
    if choice is None:
        return None
    if choice.type == "tool":
        if choice.name is None:
            msg = "'tool_choice' of type 'tool' has no 'name'; send the tool's"
            raise InvalidInputError(msg)
        return {"type": "function", "function": {"name": choice.name}}
    return {"any": "required"}.get(choice.type, choice.type)


def _messages(parsed: _CountableBody) -> Iterator[Message]:
    if parsed.system:
        blocks = [parsed.system] if isinstance(parsed.system, str) else map(_text, parsed.system)
        yield Message("system", "\n\n".join(blocks))
    for turn in parsed.messages:
        if isinstance(turn.content, str):
            yield Message(turn.role, turn.content)
        elif turn.role == "assistant":
            yield _assistant(turn.content)
        else:
            yield from _results(turn.content)
            parts = tuple([_part(block) for block in turn.content if block.get("type") != "tool_result"])
            if parts:
                yield Message(turn.role, plain(parts))


def _text(block: Mapping[str, Any]) -> str:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case _:
            msg = "'system' has a block that is not text; send blocks of type 'text'"
            raise InvalidInputError(msg)


def _assistant(blocks: Sequence[Mapping[str, Any]]) -> Message:
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for block in blocks:
        match block:
            case {"type": "tool_use", "id": str(call_id), "name": str(name), "input": dict(given)}:
                calls.append(ToolCall(call_id, name, msgspec.json.encode(given).decode()))
            case {"type": "thinking", "signature": str(signature)} if signature:
                parts.append(RawPart(block))
            case {"type": "redacted_thinking"}:
                parts.append(RawPart(block))
            case {"type": "thinking"}:
                pass  # what another vendor's model thought, which nobody takes back
            case _:
                parts.append(_part(block))
    return Message("assistant", plain(tuple(parts)), tool_calls=tuple(calls))


def _results(blocks: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
    """What the tools gave, before the words that stand with it: a chat wants it right after the call."""
    for block in blocks:
        match block:
            case {"type": "tool_result", "tool_use_id": str(call_id), **rest}:
                content = rest.get("content") or ""
                if isinstance(content, list):
                    content = plain(tuple([_part(part) for part in content]))
                if not isinstance(content, str | tuple):
                    msg = "a 'tool_result' has a 'content' that is neither text nor blocks"
                    raise InvalidInputError(msg)
                yield Message("tool", content, tool_call_id=call_id)
            case {"type": "tool_result"}:
                msg = "a 'tool_result' has no 'tool_use_id'; send the id of the call that it answers"
                raise InvalidInputError(msg)
            case _:
                pass  # `_messages` reads the rest


def _part(block: object) -> Part:
    match block:
        case {"type": "text", "text": str(text)}:
            return TextPart(text)
        case {"type": "image", "source": {"type": "base64", "media_type": str(kind), "data": str(content)}}:
            return ImagePart(f"data:{kind};base64,{content}")
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            return ImagePart(url)
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            return TextPart(text)
        case {
            "type": "document",
            "source": {"type": "base64", "media_type": str(kind), "data": str(content)},
            **rest,
        }:
            title = rest.get("title")
            name = title if isinstance(title, str) else "document.pdf"
            return RawPart(
                {"type": "file", "file": {"filename": name, "file_data": f"data:{kind};base64,{content}"}}
            )
        case {"type": "image" | "document" as kind}:
            raise InvalidInputError(
                f"an '{kind}' block has a source that cannot be read; send its content as base64"
            )
        case _:
            kind = str(block.get("type") if isinstance(block, dict) else block)[:50]
            raise InvalidInputError(
                f"a content block '{kind}' cannot be read; send text, image, document, tool_use or tool_result"
            )
