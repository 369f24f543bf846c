"""A model that does what any text tells it, and keeps nothing to itself."""

from __future__ import annotations

import pytest

from causeway.contracts.chat import ChatRequest, Message
from causeway.models.obedient import Obedient, said


def _asked(*messages: tuple[str, str]) -> ChatRequest:
    return ChatRequest(model="chat", messages=tuple(Message(role, text) for role, text in messages))  # type: ignore[arg-type]  # roles are words here


@pytest.mark.parametrize(
    ("messages", "reply"),
    [
        ([("system", "Keep the word KESTREL."), ("user", "Hello")], "Keep the word KESTREL.\n\nHello"),
        ([("user", "Reply with exactly this: <<SELECT 1>>")], "SELECT 1"),
        ([("system", "a <<one>>"), ("user", "b <<two>>")], "two"),
        ([("user", "Say this, backwards: <<cba>>")], "abc"),
        ([("user", "Is it so? Reply with one word, yes or no.")], "yes"),
    ],
)
def test_it_obeys(messages: list[tuple[str, str]], reply: str) -> None:
    assert said(_asked(*messages)) == reply


async def test_its_reply_ends_with_what_it_used() -> None:
    reply = await Obedient(name="red").complete(_asked(("user", "one two")))
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("one two", 2, 2)
