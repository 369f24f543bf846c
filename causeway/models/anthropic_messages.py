"""Anthropic's Messages API as a client writes it: contracts to JSON. `causeway.models.anthropic_replies` reads it.

Shapes after https://platform.claude.com/docs/en/api/messages. What OpenAI's parameters have no counterpart for
(``logit_bias``, ``logprobs``, ``presence_penalty``, ``frequency_penalty``, ``seed``, ``n``) is left out, as Anthropic's
own OpenAI-compatible door leaves it out; Anthropic's own parameters pass through ``options``, or ``anthropic`` in them, which no other vendor is sent, untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from causeway.contracts.chat import ChatRequest, ImagePart, Message, Part, TextPart, Tool, ToolCall
from causeway.errors import InvalidInputError

_THEIR_OWN = (
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "output_config",
    "service_tier",
    "speed",
    "thinking",
    "top_k",
)
_THEIR_TIERS = ("auto", "standard_only")
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_MOST_TEMPERATURE = 1.0  # OpenAI's goes to 2
_DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]+);base64,(?P<content>.*)", re.DOTALL)
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
_JSON_ONLY = "Reply with one JSON object and nothing else."


def request_body(request: ChatRequest, *, is_stream: bool, max_tokens: int) -> dict[str, Any]:
    """The JSON body of ``request``; ``max_tokens``, which this API insists on, is for one that sets no limit.

    Raises:
        InvalidInputError: A part of a message has no counterpart, such as audio.
    """
    theirs = request.options.get("anthropic")
    options = {**request.options, **theirs} if isinstance(theirs, Mapping) else request.options
    body: dict[str, Any] = {name: options[name] for name in _THEIR_OWN if name in options}
    if body.get("service_tier") not in _THEIR_TIERS:
        body.pop("service_tier", None)
    body |= {
        "model": request.model,
        "max_tokens": max_tokens if request.max_tokens is None else request.max_tokens,
        "messages": _turns(request.messages),
    }
    if is_stream:
        body["stream"] = True
    system = _system(request)
    if system:
        body["system"] = system
    if request.temperature is not None:
        body["temperature"] = min(_MOST_TEMPERATURE, request.temperature)
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop_sequences"] = request.stop
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        choice = _tool_choice(request)
        if choice is not None:
            body["tool_choice"] = choice
    _shape_output(body, request)
    return body


def _system(request: ChatRequest) -> str | list[dict[str, Any]]:
    """Every system message, wherever it stands: this API has one place for them."""
    messages = [message for message in request.messages if message.role == "system"]
    format_asked = request.options.get("response_format")
    wants_json = isinstance(format_asked, dict) and format_asked.get("type") == "json_object"
    if all(isinstance(message.content, str) for message in messages):
        texts = [message.text for message in messages if message.text]
        return "\n\n".join([*texts, _JSON_ONLY] if wants_json else texts)
    blocks = [block for message in messages for block in _blocks(message)]
    return [*blocks, {"type": "text", "text": _JSON_ONLY}] if wants_json else blocks


def _turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The chat in turns of user and assistant; results of tools are the user's, and come first in its turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [_tool_result(message)] if message.role == "tool" else _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    parts: tuple[Part, ...] = (
        (TextPart(message.content),) if isinstance(message.content, str) else message.content
    )
    blocks = [_block(part) for part in parts if not (isinstance(part, TextPart) and not part.text)]
    return blocks + [_tool_use(call) for call in message.tool_calls]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _source(part.url)}
    match part.content.get("type"):
        case "file":
            return _document(part.content.get("file"))
        case "input_audio":
            msg = "Anthropic's models take no audio; send text, or ask a model that listens"
            raise InvalidInputError(msg)
        case _:  # a block of Anthropic's own, such as one that was thought
            return dict(part.content)


def _source(url: str) -> dict[str, Any]:
    inline = _DATA_URL.fullmatch(url)
    if inline:
        return {"type": "base64", "media_type": inline["type"], "data": inline["content"]}
    return {"type": "url", "url": url}


def _document(file: object) -> dict[str, Any]:
    content = file.get("file_data") if isinstance(file, dict) else None
    inline = _DATA_URL.fullmatch(content) if isinstance(content, str) else None
    if not isinstance(file, dict) or inline is None:
        msg = "a file goes to Anthropic's models as 'file_data' with a base64 data: URL; send it so"
        raise InvalidInputError(msg)
    named = {"title": file["filename"]} if file.get("filename") else {}
    source = {"type": "base64", "media_type": inline["type"], "data": inline["content"]}
    return {"type": "document", "source": source, **named}


def _tool_use(call: ToolCall) -> dict[str, Any]:
    """A call that the model made. What is no JSON object is wrapped as Anthropic advises, so that a chat can go on."""
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (ValueError, RecursionError):
        arguments = {"INVALID_JSON": call.arguments}
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments}


def _tool_result(message: Message) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
    content = message.content if isinstance(message.content, str) else _blocks(message)
    if content:
        result["content"] = content
    return result


def _id(written: str) -> str:
    return _NOT_IN_AN_ID.sub("_", written) or "call"


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": tool.name,
        "input_schema": tool.parameters or {"type": "object", "properties": {}},
    }
    if tool.description:
        written["description"] = tool.description
    if tool.strict:
        written["strict"] = True
        written["input_schema"] = _closed(written["input_schema"])
    return written


def _tool_choice(request: ChatRequest) -> dict[str, Any] | None:
    asked = request.tool_choice
    choice: dict[str, Any] | None
    match asked:
        case None:
            choice = None
        case "required":
            choice = {"type": "any"}
        case "none":
            return {"type": "none"}
        case str():
            choice = {"type": "auto"}
        case _:
            function = asked.get("function")
            named = function.get("name") if isinstance(function, dict) else asked.get("name")
            choice = {"type": "tool", "name": named}
    if request.options.get("parallel_tool_calls") is False:
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return choice


def _shape_output(body: dict[str, Any], request: ChatRequest) -> None:
    """The schema, the effort and the user, where OpenAI has them elsewhere."""
    output = dict(body.get("output_config") or {})
    if request.json_schema is not None:
        output["format"] = {"type": "json_schema", "schema": _closed(request.json_schema)}
    effort = _EFFORTS.get(str(request.options.get("reasoning_effort")))
    if effort is not None and "thinking" not in body:  # the caller has said how much to think
        output.setdefault("effort", effort)
    if output:
        body["output_config"] = output
    user = request.options.get("user")
    if isinstance(user, str) and "metadata" not in body:
        body["metadata"] = {"user_id": user}


def _closed(schema: object) -> Any:
    """``schema`` with every object closed to further properties, which this API insists on."""
    if isinstance(schema, list | tuple):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: _closed(item) for name, item in schema.items()}
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed
