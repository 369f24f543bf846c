"""Settings that change while the real gateway takes calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import ModelNotAllowedError, RateLimitedError, SettingsError, UnknownModelError
from causeway.gateway.opening import OpenGateway, open_gateway
from causeway.observability.spans import Spans
from causeway.settings import Source
from causeway.storage.database import Database
from causeway.storage.notices import Notices

ADMIN = Principal(id="key_admin", name="admin", scopes=frozenset({Scope.ADMIN}))
CALLER = Call(
    principal=Principal(id="key_1", name="caller", scopes=frozenset({Scope.MODELS}), tier="pro"),
    purpose="api",
)


@pytest.fixture
async def opened(database: Database, spans: Spans, tmp_path: Path) -> AsyncIterator[OpenGateway]:
    aliases = {f"CAUSEWAY_MODELS__{alias}": "words/chat" for alias in ("CHAT", "FAST", "EMBED")}
    source = Source(
        {
            "CAUSEWAY_STORAGE__DIR": str(tmp_path),
            "CAUSEWAY_PROVIDERS__WORDS__KIND": "scripted",
            "CAUSEWAY_TIERS__PRO__CACHE": "off",
            "CAUSEWAY_TIERS__INTERNAL__CACHE": "off",  # its replies would not let the loop do anything else
            **aliases,
        }
    )
    async with open_gateway(
        source.read()[0],
        source=source,
        database=database,
        notices=Notices(database),
        run_dir=tmp_path,
        spans=spans,
        lone_calls=None,
    ) as gateway:
        yield gateway


def asked(model: str, words: str = "echo this") -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content=words),))


async def test_a_tier_binds_the_very_next_call(opened: OpenGateway) -> None:
    assert (await opened.gateway.complete(asked("chat"), CALLER)).text == "echo this"
    await opened.live.change("tiers.pro", {"models": ["other/*"]}, by=ADMIN)
    with pytest.raises(ModelNotAllowedError, match="tier 'pro' may not use the model 'chat'"):
        await opened.gateway.complete(asked("chat"), CALLER)
    await opened.live.reset("tiers.pro", by=ADMIN)
    await opened.live.change(
        "tiers.pro", {"requests_per_minute": 1}, by=ADMIN
    )  # which the first call has used
    with pytest.raises(RateLimitedError):
        await opened.gateway.complete(asked("chat"), CALLER)


async def test_a_provider_and_its_route_can_be_called_once_they_are_added(opened: OpenGateway) -> None:
    with pytest.raises(UnknownModelError):
        await opened.gateway.complete(asked("more/chat"), CALLER)
    await opened.live.change("providers.more", {"kind": "scripted", "models": ["chat"]}, by=ADMIN)
    await opened.live.change("routes.best", {"models": ["more/chat"]}, by=ADMIN)
    assert (await opened.gateway.complete(asked("best"), CALLER)).text == "echo this"
    with pytest.raises(SettingsError, match=r"routes\.best names 'more/chat'"):
        await opened.live.reset("providers.more", by=ADMIN)


async def test_a_stream_ends_on_what_it_began_with(opened: OpenGateway) -> None:
    await opened.live.change("providers.more", {"kind": "scripted", "models": ["chat"]}, by=ADMIN)
    stream = opened.gateway.stream(asked("more/chat", "one two three"), CALLER)
    said = [(await anext(stream)).text]
    await opened.live.reset("providers.more", by=ADMIN)
    said += [chunk.text async for chunk in stream]
    assert "".join(said) == "one two three"
    with pytest.raises(UnknownModelError):
        await opened.gateway.complete(asked("more/chat"), CALLER)


async def test_calls_side_by_side_with_changes_all_succeed(opened: OpenGateway) -> None:
    unbounded = msgspec.structs.replace(CALLER, principal=replace(CALLER.principal, tier="internal"))

    async def call() -> None:
        for _ in range(40):
            assert (await opened.gateway.complete(asked("chat"), unbounded)).text == "echo this"

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(call())
        for number in range(5):
            changed = {"max_concurrent": number % 3, "weight": 2 + number}
            await opened.live.change("providers.words", changed, by=ADMIN)
            await opened.live.change("tiers.internal", {"priority": number}, by=ADMIN)
    assert opened.live.current.tiers["internal"].priority == 4


async def test_a_bound_on_calls_at_a_time_holds_from_then_on(opened: OpenGateway) -> None:
    await opened.live.change("providers.words", {"max_concurrent": 1}, by=ADMIN)
    first = opened.gateway.stream(asked("chat", "one two three"), CALLER)
    await anext(first)
    second = asyncio.ensure_future(opened.gateway.complete(asked("chat"), CALLER))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not second.done()
    await first.aclose()
    assert (await second).text == "echo this"
