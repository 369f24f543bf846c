"""How many tokens a request may have, without a tokeniser: for reservations, and for servers that never count.

Every model cuts text differently, and a real tokeniser costs more than the rest of the call. Bytes per token, measured
with OpenAI's o200k and cl100k and the tokeniser that Anthropic once published: English 3.8 to 4.0, Python 3.9 to 4.3,
JSON 2.9 to 3.4, German 3.4 to 5.1, Russian 3.7 to 8.0, Chinese 2.6 to 3.8, Arabic 2.0 to 6.7, hexadecimal 1.7,
base64 1.4. So three kinds of text are told apart, which costs one pass for spaces.
"""

from __future__ import annotations

import math

import msgspec

from causeway.contracts.chat import ChatRequest, ImagePart, Message, RawPart, TextPart, Usage

_PROSE_BYTES = 4.0
_DENSE_BYTES = 1.6
_FOREIGN_BYTES = 3.0
_LONGEST_WORD = 64
"""Text with fewer spaces than one in so many characters is dense: digits, keys, base64."""
_MOSTLY_ASCII = 1.1

_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_REPLY = 3
_TOKENS_PER_TOOL = 12
_TOKENS_PER_PICTURE = 1600  # Anthropic's most for a picture of usual size; OpenAI's of 1024 x 1024 has 765
_TOKENS_PER_SMALL_PICTURE = 85


def request_tokens(request: ChatRequest, *, margin: float = 1.0) -> int:
    """Input tokens of ``request``: its texts, pictures, tools and schema, with what a chat format adds.

    Args:
        request: The whole of it counts, as the model gets it.
        margin: What the count of its texts is multiplied with.
    """
    tokens = float(_TOKENS_PER_REPLY)
    for message in request.messages:
        content = message.content
        tokens += _TOKENS_PER_MESSAGE
        tokens += margin * (text_tokens(content) if isinstance(content, str) else _part_tokens(message))
        for call in message.tool_calls:
            tokens += margin * (text_tokens(call.name) + _json_tokens(call.arguments))
    for tool in request.tools:
        tokens += _TOKENS_PER_TOOL
        tokens += margin * (text_tokens(tool.description) + _json_tokens(tool.parameters))
    if request.json_schema is not None:
        tokens += margin * _json_tokens(request.json_schema)
    return math.ceil(tokens)


def text_tokens(text: str) -> float:
    """About how many tokens ``text`` has."""
    if text.isascii():
        is_dense = len(text) > _LONGEST_WORD and text.count(" ") * _LONGEST_WORD < len(text)
        return len(text) / (_DENSE_BYTES if is_dense else _PROSE_BYTES)
    size = len(text.encode(errors="replace"))
    return size / (_PROSE_BYTES if size <= _MOSTLY_ASCII * len(text) else _FOREIGN_BYTES)


def estimated_usage(request: ChatRequest, written_bytes: int) -> Usage:
    """The usage of a call that nobody counted, in which the model wrote ``written_bytes``."""
    return Usage(
        input_tokens=request_tokens(request),
        output_tokens=math.ceil(written_bytes / _PROSE_BYTES),
        is_estimate=True,
    )


def text_bytes(text: str) -> int:
    """Its length in UTF-8; free for ASCII."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _part_tokens(message: Message) -> float:
    tokens = 0.0
    for part in message.content:
        if isinstance(part, TextPart):
            tokens += text_tokens(part.text)
        elif isinstance(part, RawPart):
            tokens += _json_tokens(part.content)
        elif isinstance(part, ImagePart):
            tokens += _TOKENS_PER_SMALL_PICTURE if part.detail == "low" else _TOKENS_PER_PICTURE
    return tokens


def _json_tokens(content: object) -> float:
    size = text_bytes(content) if isinstance(content, str) else len(msgspec.json.encode(content))
    return size / _FOREIGN_BYTES
