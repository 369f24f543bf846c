"""What only one vendor knows reaches that vendor and nobody else."""

from __future__ import annotations

from typing import Any

import msgspec

from causeway.contracts.chat import ChatRequest, Message, RawPart, ToolCall
from causeway.models import anthropic_messages, chat_completions
from causeway.models.anthropic_replies import Reading

THINKING = {"type": "enabled", "budget_tokens": 2_000}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "town", "strict": False, "schema": {"type": "object"}},
}


def _request(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": "m", "messages": (Message("user", "Hi"),), **fields})


def test_anthropics_own_parameters_go_to_anthropic_alone() -> None:
    request = _request(options={"anthropic": {"thinking": THINKING}, "reasoning_effort": "low"})
    theirs = anthropic_messages.request_body(request, is_stream=False, max_tokens=4_000)
    assert theirs["thinking"] == THINKING
    assert "output_config" not in theirs
    others = chat_completions.request_body(request, is_stream=False)
    assert "anthropic" not in others
    assert others["reasoning_effort"] == "low"


def test_a_callers_own_format_keeps_its_name() -> None:
    asked = _request(json_schema={"type": "object"}, options={"response_format": FORMAT})
    assert chat_completions.request_body(asked, is_stream=False)["response_format"] == FORMAT
    ours = chat_completions.request_body(_request(json_schema={"type": "object"}), is_stream=False)
    assert ours["response_format"]["json_schema"]["name"] == "reply"


def test_a_turn_of_nothing_but_foreign_thoughts_has_no_empty_list() -> None:
    thought = RawPart({"type": "thinking", "thinking": "Hm", "signature": "s"})
    called = Message("assistant", (thought,), tool_calls=(ToolCall("c", "f", "{}"),))
    silent = Message("assistant", (thought,))
    written = chat_completions.request_body(_request(messages=(called, silent)), is_stream=False)
    assert [message["content"] for message in written["messages"]] == [None, ""]


def test_a_thought_is_signed_before_the_text_begins() -> None:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Four."}},
    ]
    sent = b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )
    chunks = list(Reading("anthropic", _request()).feed(sent))
    assert [(chunk.reasoning, chunk.text) for chunk in chunks] == [("Hm", ""), ("", ""), ("", "Four.")]
    assert chunks[1].extensions == {
        "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]
    }
