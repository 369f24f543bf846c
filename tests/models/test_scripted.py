from __future__ import annotations

import numpy as np
import pytest

from causeway.contracts.chat import ChatRequest, Message, StopReason, Usage
from causeway.contracts.vectors import EmbedRequest, RerankRequest
from causeway.errors import UpstreamError
from causeway.models.provider import collect
from causeway.models.scripted import DIMENSIONS, Line, Scripted
from tests.models.chat_provider_contract import check_chat_provider


def _ask(question: str, *, max_tokens: int | None = None) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message("user", question),), max_tokens=max_tokens)


async def test_the_scripted_provider_keeps_the_contract() -> None:
    await check_chat_provider(Scripted([Line(when=".", say="one two three four")]), "m")


async def test_the_first_line_that_fits_is_said() -> None:
    scripted = Scripted([Line(when="^price", say="Ten crowns."), Line(when="price", say="Who knows?")])
    assert (await collect(scripted.stream(_ask("Price of a tent?")))).text == "Ten crowns."
    assert (await collect(scripted.stream(_ask("The price?")))).text == "Who knows?"


async def test_without_a_fitting_line_the_question_comes_back_with_its_spaces() -> None:
    reply = await collect(Scripted().stream(_ask("  two  words\n")))
    assert reply.text == "  two  words\n"
    assert reply.stop_reason is StopReason.END


async def test_words_are_counted_and_limited() -> None:
    reply = await collect(Scripted([Line(when="", say="a b c d")]).stream(_ask("one two", max_tokens=3)))
    assert (reply.text, reply.stop_reason, reply.usage) == ("a b c", StopReason.LENGTH, Usage(2, 3))


async def test_a_line_can_fail_in_the_middle() -> None:
    scripted = Scripted([Line(when="", say="a b", fail=UpstreamError("gone"))])
    stream = scripted.stream(_ask("?"))
    assert [(await anext(stream)).text for _ in range(2)] == ["a", " b"]
    with pytest.raises(UpstreamError, match="gone"):
        await anext(stream)


async def test_texts_that_share_words_get_similar_unit_vectors() -> None:
    texts = ("a warm down jacket", "the warm down jacket", "invoice number seven", "")
    vectors = (await Scripted().embed(EmbedRequest(model="m", texts=texts))).vectors
    assert vectors.shape == (4, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


async def test_nothing_to_embed_gives_no_vectors() -> None:
    assert (await Scripted().embed(EmbedRequest(model="m", texts=()))).vectors.shape == (0, DIMENSIONS)


async def test_relevance_is_the_share_of_the_querys_words() -> None:
    request = RerankRequest(model="m", query="Warm jacket", texts=("a warm jacket", "a jacket", "tent"))
    assert (await Scripted().rerank(request)).scores == (1.0, 0.5, 0.0)
