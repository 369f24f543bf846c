"""OpenAI's JSON to and from the contracts: chat completions, embeddings, rerank, models, errors.

Shapes after https://platform.openai.com/docs/api-reference; rerank after Cohere's and Jina's, which OpenAI lacks.
Parameters that Causeway does not read are handed to the provider untouched.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from causeway.contracts.chat import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    ImagePart,
    Message,
    Role,
    StopReason,
    TextPart,
    Tool,
    ToolCall,
    Usage,
)
from causeway.contracts.money import to_dollars
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest
from causeway.errors import CausewayError, InvalidInputError, NoAccessError, TryLaterError

Body = TypeVar("Body")

_FINISH_REASONS = {
    StopReason.END: "stop",
    StopReason.LENGTH: "length",
    StopReason.TOOL_CALLS: "tool_calls",
    StopReason.CONTENT_FILTER: "content_filter",
}


# --- requests ----------------------------------------------------------------------------------------


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool | None = None


class _ToolCall(msgspec.Struct):
    id: str
    function: _Function


class _Tool(msgspec.Struct):
    function: _Function
    type: Literal["function"] = "function"


class _Url(msgspec.Struct):
    url: str
    detail: str | None = None


class _Part(msgspec.Struct):
    type: Literal["text", "image_url"]
    text: str = ""
    image_url: _Url | None = None


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any]


class _ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _ChatBody(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: _ResponseFormat | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None


class ChatCall(msgspec.Struct, frozen=True):
    """A parsed chat completion: the request, and how the caller wants it delivered."""

    request: ChatRequest
    is_stream: bool
    wants_usage: bool


class _EmbedBody(msgspec.Struct):
    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] | None = None
    input_type: Literal["query", "document", "passage"] = "document"


class EmbedCall(msgspec.Struct, frozen=True):
    """A parsed embeddings call."""

    request: EmbedRequest
    as_base64: bool


class _Document(msgspec.Struct):
    text: str


class _RerankBody(msgspec.Struct):
    model: str
    query: str
    documents: list[str | _Document]
    top_n: int | None = None
    return_documents: bool = False


class RerankCall(msgspec.Struct, frozen=True):
    """A parsed rerank call."""

    request: RerankRequest
    top_n: int
    with_documents: bool


def read_chat(body: bytes) -> ChatCall:
    """A ``/v1/chat/completions`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape; the message names the place.
    """
    raw = _object(body)
    parsed = _convert(raw, _ChatBody)
    if not parsed.messages:
        msg = "'messages' is empty; send at least one message"
        raise InvalidInputError(msg)
    if parsed.n not in (None, 1):
        raise InvalidInputError(
            f"'n' is {parsed.n}; Causeway writes one choice a call, so send n=1 or several calls"
        )
    options = {name: value for name, value in raw.items() if name not in _ChatBody.__struct_fields__}
    if parsed.response_format is not None and parsed.response_format.type == "json_object":
        options["response_format"] = {"type": "json_object"}
    schema = parsed.response_format and parsed.response_format.json_schema
    limit = parsed.max_completion_tokens if parsed.max_completion_tokens is not None else parsed.max_tokens
    request = ChatRequest(
        model=parsed.model,
        messages=tuple(_message(message) for message in parsed.messages),
        max_tokens=limit,
        temperature=parsed.temperature,
        top_p=parsed.top_p,
        stop=(parsed.stop,) if isinstance(parsed.stop, str) else tuple(parsed.stop or ()),
        seed=parsed.seed,
        tools=tuple(_tool(tool.function) for tool in parsed.tools or ()),
        tool_choice=parsed.tool_choice,
        json_schema=schema.schema if schema else None,
        options=options,
    )
    wants_usage = parsed.stream_options is not None and parsed.stream_options.include_usage
    return ChatCall(request, is_stream=bool(parsed.stream), wants_usage=wants_usage)


def read_embeddings(body: bytes) -> EmbedCall:
    """A ``/v1/embeddings`` body; ``input_type`` (``query`` or ``document``) is an addition of ours and of Cohere's.

    Raises:
        InvalidInputError: It is not JSON of that shape, or has no text in it.
    """
    parsed = _convert(_object(body), _EmbedBody)
    texts = (parsed.input,) if isinstance(parsed.input, str) else tuple(parsed.input)
    if not texts or not all(texts):
        msg = "'input' has no text; send a non-empty string or a list of non-empty strings"
        raise InvalidInputError(msg)
    kind: Literal["query", "document"] = "query" if parsed.input_type == "query" else "document"
    return EmbedCall(
        EmbedRequest(model=parsed.model, texts=texts, kind=kind), as_base64=parsed.encoding_format == "base64"
    )


def read_rerank(body: bytes) -> RerankCall:
    """A ``/v1/rerank`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape, or has no documents.
    """
    parsed = _convert(_object(body), _RerankBody)
    if not parsed.documents:
        msg = "'documents' is empty; send at least one"
        raise InvalidInputError(msg)
    texts = tuple(document if isinstance(document, str) else document.text for document in parsed.documents)
    top_n = len(texts) if parsed.top_n is None else max(1, parsed.top_n)
    request = RerankRequest(model=parsed.model, query=parsed.query, texts=texts)
    return RerankCall(request, top_n=top_n, with_documents=parsed.return_documents)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"the body is not a JSON object: {exc}") from exc


def _convert(raw: Mapping[str, Any], shape: type[Body]) -> Body:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as exc:
        raise InvalidInputError(f"the body is not as the API describes: {exc}") from exc


def _message(message: _Message) -> Message:
    role: Role = "system" if message.role == "developer" else message.role
    content = message.content
    return Message(
        role=role,
        content=tuple(_part(part) for part in content) if isinstance(content, list) else content or "",
        name=message.name,
        tool_calls=tuple(
            ToolCall(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()
        ),
        tool_call_id=message.tool_call_id,
    )


def _part(part: _Part) -> TextPart | ImagePart:
    if part.type == "text":
        return TextPart(part.text)
    if part.image_url is None:
        msg = "a message part of type 'image_url' has no 'image_url'"
        raise InvalidInputError(msg)
    return ImagePart(part.image_url.url, part.image_url.detail)


def _tool(function: _Function) -> Tool:
    return Tool(function.name, function.description, function.parameters, function.strict)


# --- replies -----------------------------------------------------------------------------------------


def chat_completion(reply: ChatReply, *, completion_id: str, created: int, model: str) -> bytes:
    """A whole ``chat.completion``; ``causeway`` holds what OpenAI's shape has no place for."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, **reply.extensions}
    if reply.tool_calls:
        message["content"] = reply.text or None
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": _FINISH_REASONS[reply.stop_reason]}
    return msgspec.json.encode(
        {
            "id": completion_id,
            "object": "chat.completion",
            "created": created,
            "model": reply.model or model,
            "choices": [choice],
            "usage": _usage(reply.usage),
            "causeway": {"trace_id": reply.trace_id, "cost_usd": to_dollars(reply.cost_micros)},
        }
    )


def chat_chunk(chunk: ChatChunk, *, completion_id: str, created: int, model: str, is_first: bool) -> bytes:
    """One ``chat.completion.chunk``; its usage, if wanted, goes out by itself with `usage_chunk`."""
    delta: dict[str, Any] = {"role": "assistant"} if is_first else {}
    if chunk.text or is_first:
        delta["content"] = chunk.text
    if chunk.tool_calls:
        delta["tool_calls"] = [
            {
                "index": d.index,
                **({"id": d.id, "type": "function"} if d.id else {}),
                "function": {**({"name": d.name} if d.name else {}), "arguments": d.arguments},
            }
            for d in chunk.tool_calls
        ]
    delta.update(chunk.extensions)
    finish = _FINISH_REASONS[chunk.stop_reason] if chunk.stop_reason else None
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _chunk([choice], completion_id, created, chunk.model or model, {})


def usage_chunk(usage: Usage, *, completion_id: str, created: int, model: str) -> bytes:
    """The last chunk of a stream whose caller asked for ``stream_options.include_usage``: no choices, the usage."""
    return _chunk([], completion_id, created, model, {"usage": _usage(usage)})


def _chunk(
    choices: list[dict[str, Any]], completion_id: str, created: int, model: str, more: Mapping[str, Any]
) -> bytes:
    return msgspec.json.encode(
        {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": choices,
            **more,
        }
    )


def embedding_list(embeddings: Embeddings, *, as_base64: bool) -> bytes:
    """An embeddings answer; base64 is of little-endian float32, as the official clients ask for."""
    rows = embeddings.vectors.astype("<f4", copy=False)
    return msgspec.json.encode(
        {
            "object": "list",
            "model": embeddings.model,
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": base64.b64encode(row.tobytes()).decode() if as_base64 else row.tolist(),
                }
                for index, row in enumerate(rows)
            ],
            "usage": {
                "prompt_tokens": embeddings.usage.input_tokens,
                "total_tokens": embeddings.usage.total_tokens,
            },
        }
    )


def ranking(relevance: Relevance, call: RerankCall) -> bytes:
    """A rerank answer, best first."""
    order = sorted(enumerate(relevance.scores), key=lambda item: -item[1])[: call.top_n]
    results = [
        {
            "index": index,
            "relevance_score": score,
            **({"document": {"text": call.request.texts[index]}} if call.with_documents else {}),
        }
        for index, score in order
    ]
    usage = {"total_tokens": relevance.usage.total_tokens}
    return msgspec.json.encode({"model": relevance.model, "results": results, "usage": usage})


def model_list(names: Sequence[str]) -> bytes:
    """The models that can be called."""
    return msgspec.json.encode({"object": "list", "data": [_model(name) for name in names]})


def one_model(name: str) -> bytes:
    """One model."""
    return msgspec.json.encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "causeway"}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
    }


def error_body(error: CausewayError) -> bytes:
    """An error in OpenAI's shape, so that its clients raise the right exception."""
    match error:
        case InvalidInputError():
            kind = "invalid_request_error"
        case NoAccessError():
            kind = "authentication_error" if error.http_status == 401 else "permission_error"
        case TryLaterError():
            kind = "rate_limit_error" if error.http_status == 429 else "server_error"
        case _:
            kind = "server_error"
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}
    )
