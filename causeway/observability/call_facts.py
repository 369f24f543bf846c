"""What is known of one call of a model: the attributes of its span, as a record instead of a dictionary.

Every call of the gateway has a span, so what a span costs is a part of every call. The call's way makes this record and
nothing else; messages are written as JSON, and all of it is encoded, in the thread that stores spans, once
(``bench/tracing_share.py``). Whoever reads a span's attributes gets the same dictionary as of any other span.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from causeway.contracts.chat import ImagePart, Message, ToolCall
from causeway.observability import genai_names as names
from causeway.observability.attribute_values import Attribute, as_json

_field = msgspec.field


class CallFacts(msgspec.Struct, omit_defaults=True, gc=False):
    """The attributes of a call's span; one that has its default is left out.

    Attributes:
        attempts: Calls of providers; told where it took more than one.
        first_chunk_s: Until the first piece of a streamed reply.
        input_messages: JSON of what was asked, written by `write_content`; ``output_messages`` of what was replied.
    """

    operation: str = _field(name=names.OPERATION)
    request_model: str = _field(name=names.REQUEST_MODEL)
    response_model: str = _field(name=names.RESPONSE_MODEL)
    input_tokens: int = _field(name=names.INPUT_TOKENS)
    output_tokens: int = _field(name=names.OUTPUT_TOKENS)
    cost_micros: int = _field(name=names.COST_MICROS)
    principal: str = _field(name=names.PRINCIPAL)
    owner: str = _field(name=names.OWNER)
    tier: str = _field(name=names.TIER)
    purpose: str = _field(name=names.PURPOSE)
    provider: str | None = _field(name=names.PROVIDER, default=None)
    team: str | None = _field(name=names.TEAM, default=None)
    is_stream: bool = _field(name=names.REQUEST_STREAM, default=False)
    temperature: float | None = _field(name=names.REQUEST_TEMPERATURE, default=None)
    max_tokens: int | None = _field(name=names.REQUEST_MAX_TOKENS, default=None)
    finish_reason: str | None = _field(name=names.FINISH_REASONS, default=None)
    first_chunk_s: float | None = _field(name=names.TIME_TO_FIRST_CHUNK, default=None)
    conversation: str | None = _field(name=names.CONVERSATION, default=None)
    cache: str | None = _field(name=names.CACHE, default=None)
    attempts: int = _field(name=names.ATTEMPTS, default=1)
    cached_input_tokens: int = _field(name=names.CACHED_INPUT_TOKENS, default=0)
    reasoning_tokens: int = _field(name=names.REASONING_TOKENS, default=0)
    route_reason: str | None = _field(name=names.ROUTE_REASON, default=None)
    prompt: str | None = _field(name=names.PROMPT, default=None)
    prompt_version: str | None = _field(name=names.PROMPT_VERSION, default=None)
    input_messages: str | None = _field(name=names.INPUT_MESSAGES, default=None)
    output_messages: str | None = _field(name=names.OUTPUT_MESSAGES, default=None)

    def write_content(self, content: CallContent) -> None:
        """Write down what was said, where it may be kept; writing it twice changes nothing."""
        if content.asked is not None and self.input_messages is None:
            self.input_messages = as_json(
                [
                    {
                        "role": message.role,
                        "content": text if isinstance(text := message.content, str) else shown_text(message),
                    }
                    for message in content.asked
                ]
            )
        if content.said is not None and self.output_messages is None:
            said: dict[str, object] = {"role": "assistant", "content": content.said}
            if content.called:
                said["tool_calls"] = [
                    {"name": call.name, "arguments": call.arguments} for call in content.called
                ]
            self.output_messages = as_json([said])

    def attributes(self) -> dict[str, Attribute]:
        """The same as a dictionary, by the names of `genai_names`."""
        told: dict[str, Attribute] = msgspec.to_builtins(self)
        return told


class CallContent(msgspec.Struct, gc=False):
    """What was said in a call, as its provider saw it.

    Attributes:
        asked: The messages; None for what is no chat.
        said: The reply, as far as it came; None while nothing is known of it.
        called: The tools that the reply asks for.
    """

    asked: Sequence[Message] | None = None
    said: str | None = None
    called: Sequence[ToolCall] = ()


def shown_text(message: Message) -> str:
    """A message for a trace: its text, and a word for each picture instead of its bytes."""
    content = message.content
    if isinstance(content, str):
        return content
    return message.text + " [picture]" * sum(isinstance(part, ImagePart) for part in content)
