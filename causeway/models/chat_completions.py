"""OpenAI's chat completions as a client writes them: contracts to JSON. `causeway.models.completion_replies` reads them.

Shapes after https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causeway.contracts.chat import ChatRequest, Message, Part, RawPart, TextPart, Tool

_ONLY_ANTHROPICS = ("thinking", "redacted_thinking")
"""Parts that no other vendor's server takes; a chat that began with Anthropic goes on elsewhere without them."""
_ANTHROPICS_OPTIONS = "anthropic"
"""Where the parameters stand that mean something to Anthropic's servers alone."""
_NOT_SENT = (_ANTHROPICS_OPTIONS, "stream", "stream_options")
"""Options that are none of the provider's."""


def request_body(
    request: ChatRequest, *, is_stream: bool, max_tokens_name: str = "max_tokens"
) -> dict[str, Any]:
    """The JSON body of ``request``, a stream with its usage; its own fields win over ``options``, but for ``response_format``."""
    body: dict[str, Any] = {
        **request.options,
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
    }
    if request.options:
        for name in _NOT_SENT:
            body.pop(name, None)
    if is_stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        body[max_tokens_name] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None:
        body["seed"] = request.seed
    if request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.json_schema is not None and "response_format" not in body:  # the caller's own has its name
        body["response_format"] = _response_format(request.json_schema)
    return body


def _message(message: Message) -> dict[str, Any]:
    content: object = message.content
    if isinstance(message.content, tuple):
        content = [_part(part) for part in message.content if not _is_foreign(part)]
        if not content:
            content = None if message.tool_calls else ""
    elif not message.content and message.tool_calls:
        content = None
    written: dict[str, Any] = {"role": message.role, "content": content}
    if message.name is not None:
        written["name"] = message.name
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return written


def _is_foreign(part: Part) -> bool:
    return isinstance(part, RawPart) and part.content.get("type") in _ONLY_ANTHROPICS


def _part(part: Part) -> Mapping[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, RawPart):
        return part.content
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": part.url, **detail}}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.parameters:
        function["parameters"] = tool.parameters
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _response_format(schema: Mapping[str, object] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
