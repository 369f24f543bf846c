"""What a call goes through, step by step, with every step real and the provider scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, Message
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Budget, Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.contracts.vectors import EmbedRequest
from causeway.errors import (
    BudgetSpentError,
    ContentBlockedError,
    ModelNotAllowedError,
    RateLimitedError,
    UpstreamError,
)
from causeway.gateway.call_record import Books
from causeway.gateway.gateway import Gateway
from causeway.gateway.ledger import Ledger
from causeway.gateway.routing import Route, Routes
from causeway.models.scripted import Line, Scripted
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.settings import PriceSettings, Settings
from causeway.storage import schema
from causeway.storage.database import Database
from causeway.testing.spans import CollectedSpans
from tests.gateway.conftest import steps_over

Make = Callable[..., Gateway]

PRICE = PriceSettings.model_validate({"input": "2.50", "output": "10"})


@pytest.fixture
def collected() -> CollectedSpans:
    return CollectedSpans()


@pytest.fixture
def make(ledger: Ledger, scripted: Scripted, collected: CollectedSpans) -> Make:
    """A gateway over the scripted provider, with settings and routes of the test's own."""

    def gateway(routes: Routes | None = None, **settings: Any) -> Gateway:
        steps = steps_over(routes or _routes(scripted), ledger, settings=Settings.model_validate(settings))
        books = Books(ledger=ledger, spans=Spans(collected), clock=SystemClock(), captures=lambda *_: True)
        return Gateway(steps, books)

    return gateway


def _routes(*providers: Scripted, is_local: bool = False) -> Routes:
    chat = {
        f"{provider.name}/words": Route(model="words", provider=provider, price=PRICE, is_local=is_local)
        for provider in providers
    }
    first = next(iter(chat))
    embed = {first: Route(model="words", provider=providers[0])}
    others = list(chat)[1:]
    return Routes(
        chat=chat,
        embed=embed,
        rerank={},
        aliases={"chat": first, "fast": list(chat)[-1], "embed": first},
        fallbacks={first: others} if others else None,
    )


def _caller(tier: str = "internal", **more: Any) -> Call:
    return Call(
        principal=Principal("key_1", "ci", frozenset({Scope.MODELS}), tier=tier, **more), purpose="api"
    )


def _ask(text: str, model: str = "chat", **more: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message("user", text),), **more)


async def _streamed(gateway: Gateway, request: ChatRequest, call: Call) -> list[ChatChunk]:
    async with aclosing(gateway.stream(request, call)) as chunks:
        return [chunk async for chunk in chunks]


async def _line(database: Database, ledger: Ledger) -> dict[str, Any]:
    """The newest line of a chat."""
    await ledger.flush()
    newest = (
        select(schema.ledger).where(schema.ledger.c.operation == "chat").order_by(schema.ledger.c.at.desc())
    )
    async with database.connect() as connection:
        return dict((await connection.execute(newest)).mappings().first() or {})


def _span(gateway: Gateway, collected: CollectedSpans) -> Span:
    gateway._books.spans.flush()
    return [span for span in collected.finished if span.name.startswith("chat")][-1]


# --- who may call what -------------------------------------------------------------------------------


async def test_a_key_reaches_only_its_models_and_operations(make: Make) -> None:
    gateway = make()
    with pytest.raises(ModelNotAllowedError, match="may not use the model 'chat'; it may use gpt-"):
        await gateway.complete(_ask("hi"), _caller(models=("gpt-*",)))
    with pytest.raises(ModelNotAllowedError, match="may not be used for embeddings"):
        await gateway.embed(EmbedRequest(model="embed", texts=("x",)), _caller(endpoints=frozenset({"chat"})))
    assert (await gateway.complete(_ask("hi"), _caller(models=("scripted/*",)))).text == "hi"


async def test_a_fallback_never_leads_where_the_key_may_not_go(make: Make) -> None:
    broken = Scripted([Line(when="", say="", fail=UpstreamError("down"))], name="first")
    second = Scripted(name="second")
    gateway = make(_routes(broken, second), gateway={"retries": 0})
    assert (await gateway.complete(_ask("hi"), _caller())).text == "hi"
    with pytest.raises(UpstreamError):
        await gateway.complete(_ask("hi", model="first/words"), _caller(models=("first/*",)))


# --- limits and budgets ------------------------------------------------------------------------------


async def test_a_limited_caller_is_told_what_is_left_and_when_to_come_back(
    make: Make, scripted: Scripted
) -> None:
    gateway = make(tiers={"tiny": {"requests_per_minute": 1, "cache": "off"}})
    reply = await gateway.complete(_ask("one"), _caller("tiny"))
    assert reply.headers["x-ratelimit-limit-requests"] == "1"
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(RateLimitedError) as refused:
        await gateway.complete(_ask("two"), _caller("tiny"))
    assert refused.value.retry_after_s is not None
    assert refused.value.trace_id is not None
    assert len(scripted.asked) == 1


async def test_a_spent_budget_refuses_before_calling_a_model(
    make: Make, scripted: Scripted, database: Database, ledger: Ledger
) -> None:
    budget = Budget("key", "key_1", "day", Micros(1))
    with pytest.raises(BudgetSpentError, match="key budget 'ci'"):
        await make().complete(_ask("hi"), _caller(budgets=(budget,)))
    assert scripted.asked == []
    line = await _line(database, ledger)
    assert (line["outcome"], line["cost_micros"], line["attempts"]) == ("budget_spent", 0, 0)


async def test_what_was_reserved_and_not_used_is_free_again(make: Make) -> None:
    limit = Micros(2 * (4096 * 10 + 400))  # two calls at the most that each may cost
    caller = _caller(budgets=(Budget("key", "key_1", "month", limit),))
    gateway = make(tiers={"internal": {"cache": "off"}})
    for _ in range(20):
        await gateway.complete(_ask("hello there"), caller)


async def test_calls_side_by_side_cannot_pass_a_token_limit_together(make: Make) -> None:
    gateway = make(tiers={"tiny": {"tokens_per_minute": 300, "max_output_tokens": 100, "cache": "off"}})
    outcomes: list[str] = []

    async def one() -> None:
        try:
            await gateway.complete(_ask("hello"), _caller("tiny"))
            outcomes.append("ok")
        except RateLimitedError:
            outcomes.append("refused")

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(one())
    assert outcomes.count("ok") == 2


async def test_a_metered_caller_gets_a_bounded_reply_and_a_free_one_what_it_asks_for(
    make: Make, scripted: Scripted
) -> None:
    gateway = make(tiers={"metered": {"tokens_per_minute": 100_000}, "short": {"max_output_tokens": 5}})
    await gateway.complete(_ask("a"), _caller("metered"))
    await gateway.complete(_ask("b", max_tokens=9), _caller("short"))
    await gateway.complete(_ask("c", max_tokens=3), _caller("short"))
    await gateway.complete(_ask("d"), _caller())
    assert [asked.max_tokens for asked in scripted.asked] == [4096, 5, 3, None]


# --- personal data -----------------------------------------------------------------------------------

MAIL = "Please write to ada.lovelace@example.org about it."


async def test_personal_data_reaches_no_provider_and_no_trace_and_comes_back_in_the_reply(
    make: Make, scripted: Scripted, collected: CollectedSpans
) -> None:
    gateway = make()
    reply = await gateway.complete(_ask(MAIL), _caller())
    assert reply.text == MAIL
    assert scripted.asked[0].messages[0].text == "Please write to [EMAIL_1] about it."
    span = _span(gateway, collected)
    assert "ada" not in str(span.attributes)
    assert span.attributes["causeway.guard.action"] == "masked"


async def test_a_placeholder_cut_by_chunks_is_restored_in_a_stream(make: Make) -> None:
    class Cut(Scripted):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
            async with aclosing(super().stream(request)) as chunks:
                async for chunk in chunks:
                    for letter in chunk.text:
                        yield ChatChunk(text=letter, model="words")
                    yield msgspec.structs.replace(chunk, text="")

    chunks = await _streamed(make(_routes(Cut())), _ask(MAIL), _caller())
    assert "".join(chunk.text for chunk in chunks) == MAIL
    assert max(len(chunk.text) for chunk in chunks) < 30


async def test_what_stays_on_this_machine_is_not_masked(make: Make, scripted: Scripted) -> None:
    await make(_routes(scripted, is_local=True)).complete(_ask(MAIL), _caller())
    assert scripted.asked[0].messages[0].text == MAIL


async def test_a_tier_may_refuse_personal_data_instead(make: Make, scripted: Scripted) -> None:
    gateway = make(tiers={"strict": {"pii": "refuse"}})
    with pytest.raises(ContentBlockedError, match="email") as refused:
        await gateway.complete(_ask(MAIL), _caller("strict"))
    assert "ada" not in refused.value.message
    assert scripted.asked == []


# --- the cache ---------------------------------------------------------------------------------------


async def test_the_same_request_is_answered_from_the_cache_for_nothing(
    make: Make, scripted: Scripted, database: Database, ledger: Ledger
) -> None:
    gateway = make()
    first = await gateway.complete(_ask("the capital?"), _caller())
    again = await gateway.complete(_ask("the capital?"), _caller())
    assert (again.text, again.cost_micros, again.usage.total_tokens) == (first.text, 0, 0)
    assert (first.headers["x-causeway-cache"], again.headers["x-causeway-cache"]) == ("miss", "exact")
    assert len(scripted.asked) == 1
    line = await _line(database, ledger)
    assert (line["cache"], line["cost_micros"], line["saved_micros"]) == ("exact", 0, first.cost_micros)


async def test_a_stored_reply_is_streamed_and_a_streamed_reply_is_stored(
    make: Make, scripted: Scripted
) -> None:
    gateway = make()
    first = await _streamed(gateway, _ask("the capital?"), _caller())
    again = await _streamed(gateway, _ask("the capital?"), _caller())
    assert [("".join(c.text for c in chunks)) for chunks in (first, again)] == ["Paris is the capital."] * 2
    assert again[0].headers["x-causeway-cache"] == "exact"
    assert len(scripted.asked) == 1


async def test_callers_share_no_replies_unless_they_are_a_team(make: Make, scripted: Scripted) -> None:
    gateway = make()

    def caller(key: str, team: str | None) -> Call:
        return Call(principal=Principal(key, key, frozenset({Scope.MODELS}), team=team), purpose="api")

    for key, team in (("a", None), ("b", None), ("c", "ops"), ("d", "ops")):
        await gateway.complete(_ask("the capital?"), caller(key, team))
    assert len(scripted.asked) == 3


async def test_hidden_values_that_differ_are_not_answered_by_one_reply(
    make: Make, scripted: Scripted
) -> None:
    gateway = make()
    for mail in ("a@example.org", "b@example.org"):
        reply = await gateway.complete(_ask(f"Is {mail} well formed?"), _caller())
        assert mail in reply.text
    assert len(scripted.asked) == 2


async def test_a_caller_that_wants_no_cache_gets_none(make: Make, scripted: Scripted) -> None:
    gateway = make()
    for _ in range(2):
        await gateway.complete(_ask("the capital?"), msgspec.structs.replace(_caller(), may_cache=False))
    assert len(scripted.asked) == 2


# --- failover ----------------------------------------------------------------------------------------


async def test_a_reply_from_the_fallback_is_priced_and_named_as_such(
    make: Make, database: Database, ledger: Ledger, collected: CollectedSpans
) -> None:
    broken = Scripted([Line(when="", say="", fail=UpstreamError("down"))], name="first")
    gateway = make(_routes(broken, Scripted(name="second")), gateway={"retries": 1, "retry_budget": 1})
    reply = await gateway.complete(_ask("hi"), _caller())
    assert reply.headers["x-causeway-model"] == "second/words"
    line = await _line(database, ledger)
    assert (line["requested_model"], line["provider"], line["attempts"]) == ("chat", "second", 3)
    span = _span(gateway, collected)
    assert [event[2][names.ERROR_TYPE] for event in span.events] == ["upstream_error", "upstream_error"]


async def test_a_stream_that_has_begun_never_changes_its_provider(
    make: Make, database: Database, ledger: Ledger
) -> None:
    second = Scripted(name="second")
    first = Scripted([Line(when="", say="half an ans", fail=UpstreamError("cut"))], name="first")
    gateway = make(_routes(first, second))
    with pytest.raises(UpstreamError, match="cut"):
        await _streamed(gateway, _ask("hi"), _caller())
    assert second.asked == []
    line = await _line(database, ledger)
    assert (line["outcome"], line["output_tokens"], line["is_estimate"]) == ("upstream_error", 3, True)
    assert line["cost_micros"] > 0


async def test_a_refused_call_costs_nothing(make: Make, database: Database, ledger: Ledger) -> None:
    broken = Scripted([Line(when="", say="", fail=UpstreamError("down"))])
    with pytest.raises(UpstreamError):
        await make(_routes(broken), gateway={"retries": 0}).complete(_ask("hi"), _caller())
    line = await _line(database, ledger)
    assert (line["cost_micros"], line["input_tokens"]) == (0, 0)


class Babbler(Scripted):
    """Writes for ever, a million characters at a time."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        while True:
            yield ChatChunk(text="x" * 1_000_000, model="words")


async def test_a_reply_without_end_is_cut_with_an_error_and_kept_by_nobody(
    make: Make, collected: CollectedSpans
) -> None:
    gateway = make(_routes(Babbler()))
    with pytest.raises(UpstreamError, match="has no end"):
        await _streamed(gateway, _ask("hi"), _caller())
    assert len(str(_span(gateway, collected).attributes[names.OUTPUT_MESSAGES])) < 4_000_000


# --- leaving -----------------------------------------------------------------------------------------


async def test_a_caller_that_leaves_a_plain_call_pays_for_what_was_sent(
    make: Make, database: Database, ledger: Ledger
) -> None:
    reached = asyncio.Event()

    class Endless(Scripted):
        async def complete(self, request: ChatRequest) -> ChatReply:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    gateway = make(_routes(Endless()))
    call = asyncio.ensure_future(gateway.complete(_ask("hello there"), _caller()))
    await reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    line = await _line(database, ledger)
    assert (line["outcome"], line["output_tokens"], line["is_estimate"]) == ("cancelled", 0, True)
    assert line["input_tokens"] > 0


# --- new settings ------------------------------------------------------------------------------------


async def test_a_call_keeps_the_steps_that_it_began_with(
    make: Make, scripted: Scripted, ledger: Ledger
) -> None:
    gateway = make()
    other = Scripted(name="other")
    async with aclosing(gateway.stream(_ask("the capital?"), _caller())) as chunks:
        said = [(await anext(chunks)).text]
        gateway.steps = steps_over(_routes(other), ledger)
        said += [chunk.text async for chunk in chunks]
    assert "".join(said) == "Paris is the capital."
    await gateway.complete(_ask("hi"), _caller())
    assert len(other.asked) == 1


# --- what people are shown ---------------------------------------------------------------------------

HOSTILE = "See ![x](https://evil.example/?q=1), ann@mail.example, and [here](https://evil.example)."


async def test_people_are_shown_no_pictures_from_elsewhere(make: Make, collected: CollectedSpans) -> None:
    """Whole, in a stream, and from the cache; their own values come back all the same."""
    gateway = make()
    person = msgspec.structs.replace(_caller(), purpose="ask")
    fit = "See (picture removed: x), ann@mail.example, and here (https://evil.example)."
    for cached in ("miss", "exact"):
        reply = await gateway.complete(_ask(HOSTILE, temperature=0.0), person)
        assert reply.text == fit
        assert reply.headers.get("x-causeway-cache") == cached
        chunks = await _streamed(gateway, _ask(HOSTILE, temperature=0.0), person)
        assert "".join(chunk.text for chunk in chunks) == fit
    assert _span(gateway, collected).attributes["causeway.guard.removed.picture"] == 1


async def test_programs_get_what_the_model_wrote(make: Make) -> None:
    gateway = make()
    assert (await gateway.complete(_ask(HOSTILE), _caller())).text == HOSTILE
    chunks = await _streamed(gateway, _ask(HOSTILE), _caller())
    assert "".join(chunk.text for chunk in chunks) == HOSTILE


async def test_a_tier_may_leave_answers_unfiltered(make: Make) -> None:
    gateway = make(tiers={"internal": {"filter_output": False}})
    assert (
        await gateway.complete(_ask(HOSTILE), msgspec.structs.replace(_caller(), purpose="answer"))
    ).text == HOSTILE
