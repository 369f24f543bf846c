"""OpenAI's chat completions as a caller asks for them: JSON to `ChatRequest`.

Shape after https://platform.openai.com/docs/api-reference/chat. Parameters that Causeway does not read are handed to the
provider untouched, in `ChatRequest.options`; so is ``response_format``, whose schema is in ``json_schema`` too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

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
from causeway.gateway.request_body import ModelName, is_small, read_as, read_object, require_few

TokenLimit = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Schema = dict[str, Any]

_THOUGHTS = ("thinking", "redacted_thinking")
_ESCAPES = {
    **dict.fromkeys(("n_predict", "num_predict", "max_new_tokens"), "send 'max_tokens'"),
    **dict.fromkeys(
        ("best_of", "num_return_sequences"), "one choice is written a call, so send several calls"
    ),
    **dict.fromkeys(
        ("models", "fallbacks", "route"), "send one 'model'; what stands in for it is the operator's"
    ),
    **dict.fromkeys(
        ("api_key", "api_base", "base_url"), "providers are the operator's; send a 'model' of theirs"
    ),
}
"""Parameters by which some servers would be led past the caller's tier: its longest reply, its models, its prices."""
_PASSED_PARTS = frozenset(("input_audio", "file", "refusal", "video_url"))


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    function: _Function
    type: Literal["function"] = "function"


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class _ToolCall(msgspec.Struct):
    id: str
    function: _CalledFunction


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    refusal: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: _CalledFunction | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class JsonSchemaFormat(msgspec.Struct):
    """The schema that a reply has to satisfy, as OpenAI names, describes and bounds it."""

    name: str
    schema: Schema
    description: str | None = None
    strict: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class _CacheControl(msgspec.Struct):
    no_store: bool = msgspec.field(name="no-store", default=False)


class _Writing(msgspec.Struct, kw_only=True):
    """How the model is to write, in any body."""

    model: ModelName
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "user"]
    content: str
    name: str | None = None


class _PlainBody(_Writing, kw_only=True, forbid_unknown_fields=True):
    """A body of nothing but texts, as most are: nothing in it nests, and nothing is handed on as it came."""

    messages: list[_PlainMessage]


class _ChatBody(_Writing, kw_only=True):
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[_Function] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: _ResponseFormat | None = None
    n: int | None = None
    modalities: list[str] | None = None
    cache: _CacheControl | None = None


_READ = frozenset(_ChatBody.__struct_fields__)
_decode_plain = msgspec.json.Decoder(_PlainBody).decode


def passed_on(raw: Mapping[str, Any], read: frozenset[str]) -> dict[str, Any]:
    """The parameters beyond ``read``, which go to the provider untouched.

    Raises:
        InvalidInputError: One of them would escape a limit there.
    """
    if raw.keys() <= read:
        return {}
    options = {name: value for name, value in raw.items() if name not in read}
    for name in options:
        if name in _ESCAPES:
            raise InvalidInputError(f"'{name}' is not passed on: {_ESCAPES[name]}")
        if name in _READ:
            raise InvalidInputError(f"'{name}' is a parameter of chat completions alone; leave it out")
    return options


class ChatCall(msgspec.Struct, frozen=True):
    """A parsed chat completion: the request, and how the caller wants it delivered.

    Attributes:
        is_legacy: The caller offers ``functions`` and reads ``function_call``, as before tools.
        may_cache: False when the body asks for ``cache: {"no-store": true}``.
    """

    request: ChatRequest
    is_stream: bool
    wants_usage: bool
    is_legacy: bool
    may_cache: bool


def read_chat(body: bytes, *, max_messages: int) -> ChatCall:
    """A ``/v1/chat/completions`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape; the message names the place.
    """
    plain = _plain_body(body)
    if plain is not None:
        require_few("messages", len(plain.messages), max_messages)
        return _plain_call(plain)
    raw = read_object(body)
    parsed = read_as(_ChatBody, raw)
    require_few("messages", len(parsed.messages), max_messages)
    if parsed.n is not None or parsed.modalities is not None:
        _require_one_text(parsed)
    options = passed_on(raw, _READ)
    asked = parsed.response_format
    schema = None if asked is None else _response_format(asked, raw, options)
    functions = parsed.functions or (parsed.tools and [tool.function for tool in parsed.tools])
    choice = parsed.tool_choice if parsed.function_call is None else _legacy_choice(parsed.function_call)
    request = ChatRequest(
        model=parsed.model,
        messages=tuple([_message(message) for message in parsed.messages]),
        max_tokens=_limit(parsed),
        temperature=parsed.temperature,
        top_p=parsed.top_p,
        stop=_stops(parsed.stop),
        seed=parsed.seed,
        tools=tuple([_tool(function) for function in functions]) if functions else (),
        tool_choice=choice,
        json_schema=schema,
        options=options,
    )
    return ChatCall(
        request,
        is_stream=bool(parsed.stream),
        wants_usage=bool(parsed.stream_options and parsed.stream_options.include_usage),
        is_legacy=parsed.functions is not None,
        may_cache=not (parsed.cache and parsed.cache.no_store),
    )


def _plain_body(body: bytes) -> _PlainBody | None:
    """``body`` in one step; None where it is not plain, or wrong in a way that the longer way tells of."""
    if not is_small(body):
        return None
    try:
        return _decode_plain(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _plain_call(body: _PlainBody) -> ChatCall:
    request = ChatRequest(
        model=body.model,
        messages=tuple([Message(each.role, each.content, each.name) for each in body.messages]),
        max_tokens=_limit(body),
        temperature=body.temperature,
        top_p=body.top_p,
        stop=_stops(body.stop),
        seed=body.seed,
    )
    wants_usage = bool(body.stream_options and body.stream_options.include_usage)
    return ChatCall(request, bool(body.stream), wants_usage, is_legacy=False, may_cache=True)


def _limit(body: _Writing) -> int | None:
    return body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _require_one_text(parsed: _ChatBody) -> None:
    if parsed.n not in (None, 1):
        raise InvalidInputError(
            f"'n' is {parsed.n}; Causeway writes one choice a call, so send n=1 or several calls"
        )
    if parsed.modalities not in (None, [], ["text"]):
        msg = "'modalities' asks for more than text; Causeway answers in text, so leave it out"
        raise InvalidInputError(msg)


def _response_format(
    asked: _ResponseFormat, raw: Mapping[str, Any], options: dict[str, Any]
) -> Schema | None:
    if asked.type == "text":
        return None
    options["response_format"] = raw["response_format"]
    if asked.type == "json_object":
        return None
    if asked.json_schema is None:
        msg = "'response_format' of type 'json_schema' has no 'json_schema'"
        raise InvalidInputError(msg)
    return asked.json_schema.schema


def _legacy_choice(choice: str | dict[str, Any]) -> str | dict[str, Any]:
    return choice if isinstance(choice, str) else {"type": "function", "function": choice}


def _message(message: _Message) -> Message:
    content = message.content
    if message.role in ("user", "system") and isinstance(content, str):  # nearly every message
        return Message(role=message.role, content=content, name=message.name)
    return _unusual_message(message)


def _unusual_message(message: _Message) -> Message:
    role, content = _role(message), message.content
    calls = [ToolCall(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()]
    call_id = message.tool_call_id
    if message.function_call is not None:
        calls.append(_legacy_call(message.function_call))
    if message.role == "function":
        call_id = _legacy_call_id(message.name or "")
    if content is None and role != "assistant":
        raise InvalidInputError(f"a message of role '{message.role}' has no 'content'; send text or parts")
    if role == "tool" and call_id is None:
        msg = "a message of role 'tool' has no 'tool_call_id'; send the id of the call that it answers"
        raise InvalidInputError(msg)
    parts = read_parts(content) if isinstance(content, list) else content or ""
    if message.refusal or message.thinking_blocks:
        said = (TextPart(parts),) if isinstance(parts, str) and parts else parts or ()
        thoughts = [block for block in message.thinking_blocks or () if block.get("type") in _THOUGHTS]
        thought = tuple([RawPart(block) for block in thoughts])
        refused = (RawPart({"type": "refusal", "refusal": message.refusal}),) if message.refusal else ()
        parts = (*thought, *said, *refused)
    return Message(role=role, content=parts, name=message.name, tool_calls=tuple(calls), tool_call_id=call_id)


def _role(message: _Message) -> Role:
    if message.role == "developer":
        return "system"
    return "tool" if message.role == "function" else message.role


def _legacy_call(call: _CalledFunction) -> ToolCall:
    return ToolCall(_legacy_call_id(call.name), call.name, call.arguments)


def _legacy_call_id(name: str) -> str:
    """Calls had no ids before tools: a function's name stands in for one."""
    return f"call_{name}"


def read_parts(parts: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """The parts of a message, in OpenAI's shape.

    Raises:
        InvalidInputError: One is of an unknown type or has no content.
    """
    return tuple([_part(part) for part in parts])


def plain(parts: tuple[Part, ...]) -> str | tuple[Part, ...]:
    """One text, or none, as a string, which every server reads; several parts as they are."""
    if not parts:
        return ""
    return parts[0].text if len(parts) == 1 and isinstance(parts[0], TextPart) else parts


def _part(part: Mapping[str, Any]) -> Part:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextPart(text)
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            detail = rest.get("detail")
            return ImagePart(url, detail if isinstance(detail, str) else None)
        case {"type": str(kind)} if kind in _PASSED_PARTS and kind in part:
            return RawPart(part)
        case {"type": "text" | "image_url" | "input_audio" | "file" | "refusal" | "video_url" as kind}:
            raise InvalidInputError(f"a message part of type '{kind}' has no '{kind}' that can be read")
        case _:
            raise InvalidInputError(
                f"a message part is of type '{str(part.get('type'))[:50]}'; send text, image_url, input_audio or file"
            )


def _tool(function: _Function) -> Tool:
    return Tool(function.name, function.description or "", function.parameters or {}, function.strict)
