"""How many tokens a text may have, from its bytes: for reservations, and for servers that never count.

Nothing is tokenised: every model does that differently, and a real tokeniser costs more than the whole call. The
divisors were measured with OpenAI's o200k and cl100k and Anthropic's published tokeniser; see
`causeway.gateway.pricing.estimate` for how far off they are.
"""

from __future__ import annotations

import math

import msgspec

from causeway.contracts.chat import ChatRequest, ImagePart, Message, RawPart, TextPart, Usage

USUAL_BYTES_PER_TOKEN = 4.0
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_REPLY = 3
_TOKENS_PER_PICTURE = 1600  # Anthropic's most for its usual size; OpenAI's high detail of 1024 x 1024 is 765
_TOKENS_PER_SMALL_PICTURE = 85
_TOKENS_PER_TOOL = 12


def request_tokens(request: ChatRequest, *, bytes_per_token: float = USUAL_BYTES_PER_TOKEN) -> int:
    """Input tokens of ``request``: its texts, pictures, tools and schema, with what a chat format adds."""
    size_bytes = 0
    tokens = _TOKENS_PER_REPLY
    for message in request.messages:
        tokens += _TOKENS_PER_MESSAGE
        content = message.content
        if isinstance(content, str):
            size_bytes += text_bytes(content)
        else:
            tokens += _pictures(message)
            size_bytes += _part_bytes(message)
        for call in message.tool_calls:
            size_bytes += text_bytes(call.name) + text_bytes(call.arguments)
    for tool in request.tools:
        tokens += _TOKENS_PER_TOOL
        size_bytes += (
            text_bytes(tool.name) + text_bytes(tool.description) + len(msgspec.json.encode(tool.parameters))
        )
    if request.json_schema is not None:
        size_bytes += len(msgspec.json.encode(request.json_schema))
    return tokens + int(size_bytes / bytes_per_token)


def text_bytes(text: str) -> int:
    """Its length in UTF-8; free for ASCII."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def estimated_usage(request: ChatRequest, written_bytes: int) -> Usage:
    """The usage of a call that nobody counted, in which the model wrote ``written_bytes``."""
    return Usage(
        input_tokens=request_tokens(request),
        output_tokens=math.ceil(written_bytes / USUAL_BYTES_PER_TOKEN),
        is_estimate=True,
    )


def _pictures(message: Message) -> int:
    return sum(
        _TOKENS_PER_SMALL_PICTURE if part.detail == "low" else _TOKENS_PER_PICTURE
        for part in message.content
        if isinstance(part, ImagePart)
    )


def _part_bytes(message: Message) -> int:
    size = 0
    for part in message.content:
        if isinstance(part, TextPart):
            size += text_bytes(part.text)
        elif isinstance(part, RawPart):
            size += len(msgspec.json.encode(part.content))
    return size
