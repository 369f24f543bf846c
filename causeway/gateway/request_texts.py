"""Every text of a chat request that a provider would read, in reading order, and the request with them changed.

Text that must stay valid JSON (arguments of tool calls, schemas, options) is changed inside its strings and numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from causeway.contracts.chat import ChatRequest, Message, Part, TextPart, Tool, ToolCall

Change = Callable[[str], str]
"""Makes one text into another; the same object when there is nothing to change."""


def texts_of(request: ChatRequest) -> list[str]:
    """The texts, in reading order; JSON as one text each."""
    texts = []
    for message in request.messages:
        content = message.content
        if isinstance(content, str):
            texts.append(content)
        else:
            texts += _texts_of_parts(content)
        if message.tool_calls:
            texts += [call.arguments for call in message.tool_calls]
    for tool in request.tools:
        texts.append(tool.description)
        if tool.parameters:
            texts.append(as_json(tool.parameters))
    if request.json_schema:
        texts.append(as_json(request.json_schema))
    if request.options:
        texts.append(as_json(request.options))
    return texts


def untrusted_texts_of(request: ChatRequest) -> list[str]:
    """What somebody other than the operator and the model wrote: users' messages and results of tools."""
    texts = []
    for message in request.messages:
        if message.role in ("user", "tool"):
            content = message.content
            if isinstance(content, str):
                texts.append(content)
            else:
                texts += _texts_of_parts(content)
    return texts


def changed(request: ChatRequest, change: Change) -> ChatRequest:
    """``request`` with ``change`` made to every text."""

    def in_json(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written = str(value)
            return value if (masked := change(written)) == written else masked
        if isinstance(value, Mapping):
            return {key: in_json(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [in_json(one) for one in value]
        return value

    return msgspec.structs.replace(
        request,
        messages=tuple(_changed_message(message, change, in_json) for message in request.messages),
        tools=tuple(_changed_tool(tool, change, in_json) for tool in request.tools),
        json_schema=in_json(request.json_schema),
        options=in_json(request.options),
    )


def as_json(value: Mapping[str, object]) -> str:
    """``value`` as the JSON that a provider would read; its ``repr`` when it cannot be JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, msgspec.MsgspecError):
        return repr(value)


def _texts_of_parts(parts: tuple[Part, ...]) -> list[str]:
    return [part.text for part in parts if isinstance(part, TextPart)]


def _changed_message(message: Message, change: Change, in_json: Callable[[Any], Any]) -> Message:
    content: str | tuple[Part, ...]
    if isinstance(message.content, str):
        content = change(message.content)
    else:
        content = tuple(
            TextPart(change(part.text)) if isinstance(part, TextPart) else part for part in message.content
        )
    calls = tuple(_changed_call(call, change, in_json) for call in message.tool_calls)
    if content == message.content and calls == message.tool_calls:
        return message
    return msgspec.structs.replace(message, content=content, tool_calls=calls)


def _changed_call(call: ToolCall, change: Change, in_json: Callable[[Any], Any]) -> ToolCall:
    if not call.arguments:
        return call
    try:
        arguments = json.loads(call.arguments)
        masked = in_json(arguments)
    except (
        ValueError,
        RecursionError,
    ):  # no JSON, or deeper than anybody reads; there is nothing to keep valid
        return ToolCall(call.id, call.name, change(call.arguments))
    if masked == arguments:
        return call
    return ToolCall(call.id, call.name, json.dumps(masked, ensure_ascii=False))


def _changed_tool(tool: Tool, change: Change, in_json: Callable[[Any], Any]) -> Tool:
    description, parameters = change(tool.description), in_json(tool.parameters)
    if description == tool.description and parameters == tool.parameters:
        return tool
    return replace(tool, description=description, parameters=parameters)
