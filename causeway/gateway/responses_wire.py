"""OpenAI's Responses API as a caller asks for it: JSON to `ChatRequest`.

Shape after https://platform.openai.com/docs/api-reference/responses. Causeway keeps no responses, so the whole
conversation comes with each call, and what only a store or OpenAI's own tools can do is refused by name.
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
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from causeway.errors import InvalidInputError
from causeway.gateway.openai_wire import JsonSchemaFormat, Schema, TokenLimit, passed_on, plain
from causeway.gateway.request_body import ModelName, read_as, read_object, require_few

_REFUSED = {
    "previous_response_id": "Causeway keeps no responses; send the earlier items in 'input'",
    "conversation": "Causeway keeps no conversations; send the earlier items in 'input'",
    "prompt": "Causeway cannot read prompts kept at OpenAI; send 'instructions' and 'input'",
    "background": "a response is made while you wait; leave it out and use 'stream'",
    "max_tool_calls": "it bounds OpenAI's own tools, which are not offered; leave it out",
}
_IGNORED = frozenset(
    (
        "background_options",
        "context_management",
        "prompt_cache_options",
        "prompt_cache_retention",
        "store",
        "stream_options",
        "truncation",
    )
)


class _Tool(msgspec.Struct):
    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str = "reply"
    schema: Schema | None = None
    description: str | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class _Body(msgspec.Struct):
    model: ModelName
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: TokenLimit | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    metadata: dict[str, str] | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None


_READ = frozenset(_Body.__struct_fields__) | _IGNORED | frozenset(_REFUSED)
_ECHOED = ("instructions", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice", "metadata")


class ResponseCall(msgspec.Struct, frozen=True):
    """A parsed call: the request, and what the response repeats of it."""

    request: ChatRequest
    is_stream: bool
    repeated: dict[str, Any]


def read_response(body: bytes, *, max_messages: int) -> ResponseCall:
    """A ``/v1/responses`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape, or asks for what is not offered; the message names it.
    """
    raw = read_object(body)
    for name, remedy in _REFUSED.items():
        if raw.get(name):
            raise InvalidInputError(f"'{name}' is not offered: {remedy}")
    if raw.get("truncation") not in (None, "disabled"):
        msg = "'truncation' is not offered: nothing is left out in silence; send fewer items"
        raise InvalidInputError(msg)
    _refuse_foreign_tools(raw.get("tools"))
    parsed = read_as(_Body, raw)
    options = passed_on(raw, _READ)
    options.update(_options(parsed))
    schema = parsed.text and parsed.text.format and parsed.text.format.schema
    request = ChatRequest(
        model=parsed.model,
        messages=tuple(_messages(parsed, max_messages)),
        max_tokens=parsed.max_output_tokens,
        temperature=parsed.temperature,
        top_p=parsed.top_p,
        tools=tuple(
            [Tool(t.name, t.description or "", t.parameters or {}, t.strict) for t in parsed.tools or ()]
        ),
        tool_choice=_tool_choice(parsed.tool_choice),
        json_schema=schema or None,
        options=options,
    )
    repeated = {name: raw[name] for name in _ECHOED if raw.get(name) is not None}
    repeated["text"] = raw.get("text") or {"format": {"type": "text"}}
    repeated["reasoning"] = raw.get("reasoning") or {"effort": None, "summary": None}
    repeated["parallel_tool_calls"] = raw.get("parallel_tool_calls") is not False
    return ResponseCall(request, is_stream=bool(parsed.stream), repeated=repeated)


def _refuse_foreign_tools(tools: object) -> None:
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "function":
            raise InvalidInputError(
                f"the tool '{kind[:50]}' runs at OpenAI and is not offered; send tools of type 'function'"
            )


def _options(parsed: _Body) -> dict[str, Any]:
    """What chat completions call otherwise."""
    options: dict[str, Any] = {}
    if parsed.reasoning and parsed.reasoning.effort:
        options["reasoning_effort"] = parsed.reasoning.effort
    if parsed.text and parsed.text.verbosity:
        options["verbosity"] = parsed.text.verbosity
    if parsed.top_logprobs is not None or "message.output_text.logprobs" in (parsed.include or ()):
        options["logprobs"] = True
    if parsed.top_logprobs is not None:
        options["top_logprobs"] = parsed.top_logprobs
    form = parsed.text.format if parsed.text else None
    if form is None or form.type == "text":
        return options
    if form.type == "json_object":
        return {**options, "response_format": {"type": "json_object"}}
    if form.schema is None:
        msg = "'text.format' of type 'json_schema' has no 'schema'"
        raise InvalidInputError(msg)
    named = JsonSchemaFormat(
        name=form.name, schema=form.schema, description=form.description, strict=form.strict
    )
    fields = {name: value for name, value in msgspec.to_builtins(named).items() if value is not None}
    return {**options, "response_format": {"type": "json_schema", "json_schema": fields}}


def _tool_choice(choice: str | Mapping[str, Any] | None) -> str | Mapping[str, object] | None:
    match choice:
        case None | str():
            return choice
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
        case _:
            msg = "'tool_choice' is not offered in this form; send 'auto', 'none', 'required' or a function's name"
            raise InvalidInputError(msg)


def _messages(parsed: _Body, max_messages: int) -> list[Message]:
    items = [{"role": "user", "content": parsed.input}] if isinstance(parsed.input, str) else parsed.input
    require_few("input", len(items), max_messages)
    messages = [] if parsed.instructions is None else [Message("system", parsed.instructions)]
    messages += _turns(items)
    return messages


def _turns(items: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
    """Messages, with function calls that follow each other, or an assistant's words, in one turn."""
    spoken: Message | None = None
    calls: list[ToolCall] = []
    for item in items:
        match item:
            case {
                "type": "function_call",
                "call_id": str(call_id),
                "name": str(name),
                "arguments": str(said),
            }:
                calls.append(ToolCall(call_id, name, said))
                continue
            case {"type": "reasoning"}:
                continue  # what a model thought; chat completions have no place for it
            case _:
                pass
        message = _item(item)
        yield from _assistant_turn(spoken, calls)
        spoken, calls = None, []
        if message.role == "assistant":
            spoken = message
        else:
            yield message
    yield from _assistant_turn(spoken, calls)


def _assistant_turn(spoken: Message | None, calls: list[ToolCall]) -> Iterator[Message]:
    if spoken is not None or calls:
        yield Message("assistant", spoken.content if spoken else "", tool_calls=tuple(calls))


def _item(item: Mapping[str, Any]) -> Message:
    match item:
        case {"type": "function_call_output", "call_id": str(call_id), "output": str() | list() as output}:
            return Message("tool", _content(output), tool_call_id=call_id)
        case {
            "role": "system" | "developer" | "user" | "assistant" as said_by,
            "content": str() | list() as content,
        } if item.get("type") in (None, "message"):
            role: Role = "system" if said_by == "developer" else said_by
            return Message(role, _content(content))
        case _:
            kind = str(item.get("type", "message"))[:50]
            raise InvalidInputError(
                f"an input item of type '{kind}' cannot be read; send messages, function_call and function_call_output"
            )


def _content(content: str | list[Any]) -> str | tuple[Part, ...]:
    return content if isinstance(content, str) else plain(tuple([_part(part) for part in content]))


def _part(part: object) -> Part:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return TextPart(text)
        case {"type": "input_image", "image_url": str(url), **rest}:
            detail = rest.get("detail")
            return ImagePart(url, detail if isinstance(detail, str) else None)
        case {"type": "refusal", "refusal": str(refusal)}:
            return RawPart({"type": "refusal", "refusal": refusal})
        case {"type": "input_audio", "input_audio": dict(audio)}:
            return RawPart({"type": "input_audio", "input_audio": audio})
        case {"type": "input_file", "file_data": str(content), **rest}:
            return RawPart({"type": "file", "file": {"file_data": content, "filename": rest.get("filename")}})
        case {"type": "input_image" | "input_file" as kind}:
            raise InvalidInputError(
                f"an {kind} has neither 'image_url' nor 'file_data'; files kept at OpenAI cannot be read, so send their content"
            )
        case _:
            kind = str(part.get("type") if isinstance(part, dict) else part)[:50]
            raise InvalidInputError(f"a content part '{kind}' cannot be read; send input_text or input_image")
