from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import select

from causeway.contracts.chat import ChatRequest, Message, StopReason
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest, RerankRequest
from causeway.errors import UnknownModelError, UpstreamError
from causeway.gateway.gateway import Gateway
from causeway.gateway.ledger import Ledger
from causeway.observability import genai_names as names
from causeway.observability.spans import Spans
from causeway.observability.trace_store import TraceStore
from causeway.storage import schema
from causeway.storage.database import Database


def _ask(text: str, model: str = "chat") -> ChatRequest:
    return ChatRequest(model=model, messages=(Message("user", text),))


async def _lines(database: Database, ledger: Ledger) -> list[dict[str, Any]]:
    await ledger.flush()
    async with database.connect() as connection:
        return [dict(row) for row in (await connection.execute(select(schema.ledger))).mappings()]


async def test_a_reply_is_priced_in_exact_micros_and_kept_in_the_ledger(
    gateway: Gateway, call: Call, database: Database, ledger: Ledger
) -> None:
    reply = await gateway.complete(_ask("the capital?"), call)
    assert reply.text == "Paris is the capital."
    assert reply.stop_reason is StopReason.END
    tokens = reply.usage
    expected = round(tokens.input_tokens * 2.5) + tokens.output_tokens * 10
    assert reply.cost_micros == expected
    (line,) = await _lines(database, ledger)
    assert (line["principal_id"], line["operation"], line["model"]) == ("key_1", "chat", "words")
    assert (line["cost_micros"], line["outcome"], line["prompt"]) == (expected, "ok", "answer@3")
    assert line["trace_id"] == reply.trace_id


async def test_every_call_is_a_stored_span_with_prompt_model_tokens_and_cost(
    gateway: Gateway, call: Call, database: Database, spans: Spans
) -> None:
    reply = await gateway.complete(_ask("the capital?"), call)
    trace = await TraceStore(database, spans).trace(reply.trace_id or "")
    (span,) = trace.spans
    assert span.name == "chat words"
    assert span.attributes[names.PROMPT] == "answer"
    assert span.attributes[names.PROMPT_VERSION] == "3"
    assert span.attributes[names.OUTPUT_TOKENS] == reply.usage.output_tokens
    assert span.attributes[names.COST_MICROS] == reply.cost_micros
    assert json.loads(span.attributes[names.OUTPUT_MESSAGES])[0]["content"] == reply.text


async def test_a_call_belongs_to_the_span_it_was_made_from(
    gateway: Gateway, call: Call, spans: Spans
) -> None:
    with spans.start("outer") as outer:
        inner = Call(principal=call.principal, purpose="api", traceparent=outer.traceparent)
        reply = await gateway.complete(_ask("the capital?"), inner)
    assert reply.trace_id == outer.trace_id


async def test_a_caller_that_leaves_early_pays_for_what_was_written(
    gateway: Gateway, call: Call, database: Database, ledger: Ledger
) -> None:
    async with aclosing(gateway.stream(_ask("the capital?"), call)) as chunks:
        async for _chunk in chunks:
            break
    (line,) = await _lines(database, ledger)
    assert line["outcome"] == "cancelled"
    assert line["output_tokens"] == 1


async def test_a_failing_provider_leaves_its_code_in_the_ledger(
    gateway: Gateway, call: Call, database: Database, ledger: Ledger
) -> None:
    with pytest.raises(UpstreamError):
        await gateway.complete(_ask("boom"), call)
    (line,) = await _lines(database, ledger)
    assert line["outcome"] == "upstream_error"


async def test_embeddings_and_rankings_are_accounted_for_too(
    gateway: Gateway, call: Call, database: Database, ledger: Ledger
) -> None:
    vectors = (await gateway.embed(EmbedRequest(model="embed", texts=("a b", "c")), call)).vectors
    scores = (await gateway.rerank(RerankRequest(model="rerank", query="a", texts=("a", "z")), call)).scores
    assert vectors.shape[0] == 2
    assert scores[0] > scores[1]
    assert {line["operation"] for line in await _lines(database, ledger)} == {"embeddings", "rerank"}


async def test_an_unknown_model_is_refused_with_the_nearest_name(gateway: Gateway, call: Call) -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'chat'"):
        await gateway.complete(_ask("hi", model="chatt"), call)
