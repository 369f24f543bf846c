from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from causeway.errors import ModelUnavailableError, SettingsError, UnknownModelError
from causeway.gateway.providers import Providers
from causeway.models.anthropic import Anthropic
from causeway.models.azure_openai import AzureOpenAI
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.scripted import Scripted
from causeway.settings import Settings
from causeway.testing.clock import FrozenClock
from tests.models.provider_server import Prepared, ProviderServer

Open = Callable[..., Providers]

WORDS = {"kind": "scripted", "models": ["chat", "embed", "rerank"]}
ALIASES = {"chat": "words/chat", "fast": "words/chat", "embed": "words/embed", "rerank": "words/rerank"}


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """``opened(providers={...}, ...)`` are the providers of these settings."""
    every: list[Providers] = []

    def start(*, before: Providers | None = None, **sections: Any) -> Providers:
        sections["providers"] = {"words": WORDS, **sections.get("providers", {})}
        sections.setdefault("models", ALIASES)
        sections["storage"] = {"dir": tmp_path, "models_dir": tmp_path / "models"}
        settings = Settings.model_validate(sections)
        every.append(Providers(settings, run_dir=tmp_path, clock=FrozenClock(), before=before))
        return every[-1]

    yield start
    for providers in every:
        await providers.close()


async def test_each_kind_opens_its_own_client(opened: Open) -> None:
    providers = opened(
        providers={
            "openai": {"base_url": "http://127.0.0.1:1/v1", "models": ["gpt-4o"]},
            "blue": {"kind": "azure", "base_url": "http://127.0.0.1:1", "models": ["gpt"]},
            "claude": {"kind": "anthropic", "models": ["claude-opus-5-5"]},
        }
    )
    routes = providers.routes()
    assert type(routes.chat("gpt-4o").first.provider) is OpenAICompatible
    assert type(routes.chat("blue/gpt").first.provider) is AzureOpenAI
    assert type(routes.chat("claude-opus-5-5").first.provider) is Anthropic
    assert type(routes.chat("chat").first.provider) is Scripted
    assert routes.draw("openai/gpt-4o").first.model == "gpt-4o"
    with pytest.raises(UnknownModelError):
        routes.embed("claude/claude-opus-5-5")


async def test_a_price_of_the_settings_comes_before_the_tables(opened: Open) -> None:
    routes = opened(
        providers={
            "openai": {
                "base_url": "http://127.0.0.1:1/v1",
                "models": ["gpt-4o", "gpt-4o-mini", "homemade"],
                "prices": {"gpt-4o": {"input": "1", "output": "2"}},
            }
        }
    ).routes()
    dear, cheap, unknown = (
        routes.chat(f"openai/{name}").first for name in ("gpt-4o", "gpt-4o-mini", "homemade")
    )
    assert (dear.price.input, dear.context_tokens) == (Decimal(1), 128_000)
    assert (cheap.price.input, cheap.most_output_tokens) == (Decimal("0.15"), 16_384)
    assert (unknown.price.input, unknown.context_tokens) == (Decimal(0), None)


@pytest.mark.parametrize("kind", ["openai", "azure"])
async def test_a_provider_without_address_is_found_at_start(opened: Open, kind: str) -> None:
    with pytest.raises(SettingsError, match=r"providers\.acme has no base_url"):
        opened(providers={"acme": {"kind": kind}})


async def test_an_alias_to_nowhere_is_found_at_start(opened: Open) -> None:
    with pytest.raises(SettingsError, match=r"models\.chat names 'words/nothing'"):
        opened(models={**ALIASES, "chat": "words/nothing"})


async def test_an_alias_may_mean_a_route_of_the_settings(opened: Open) -> None:
    routes = opened(
        models={**ALIASES, "chat": "smart"}, routes={"smart": {"models": ["words/chat", "words/embed"]}}
    ).routes()
    assert [route.name for route in routes.chat("chat").routes] == ["words/chat", "words/embed"]


async def test_models_that_a_server_lists_can_be_called_by_bare_name(opened: Open) -> None:
    server = ProviderServer([Prepared(body={"data": [{"id": "big-1"}]})])
    broken = ProviderServer([Prepared(status=503, body={"error": "starting"})])
    async with server.served() as corp, broken.served() as lab:
        providers = opened(providers={"corp": {"base_url": corp}, "lab": {"base_url": lab}})
        routes = providers.routes()
        with pytest.raises(UnknownModelError):
            routes.chat("big-1")
        failures = await providers.discover()
        await providers.close()
    assert failures["corp"] is None
    assert isinstance(failures["lab"], ModelUnavailableError)
    assert routes.chat("big-1").first.name == "corp/big-1"
    assert "corp/big-1" in routes.names()


# --- settings that are read again --------------------------------------------------------------------

ONE = {"base_url": "http://127.0.0.1:1/v1", "models": ["a"]}


async def test_what_did_not_change_stays_open_and_what_did_is_opened_anew(opened: Open) -> None:
    old = opened(providers={"same": ONE, "moved": ONE, "gone": ONE})
    new = opened(
        before=old,
        providers={"same": {**ONE, "models": ["a", "b"], "weight": 2.0}, "moved": {**ONE, "timeout_s": 5}},
    )
    for name, is_kept in (("same", True), ("moved", False), ("words", None)):
        model = "chat" if name == "words" else "a"
        before, after = (one.routes().chat(f"{name}/{model}").first.provider for one in (old, new))
        assert (before is after) is (is_kept is not False)
    assert new.routes().chat("same/b").first.weight == 2.0
    with pytest.raises(UnknownModelError):
        new.routes().chat("gone/a")


async def test_settings_that_are_refused_take_nothing(opened: Open) -> None:
    server = ProviderServer([Prepared(body={"data": []})])
    async with server.served() as address:
        corp = {"base_url": address}
        old = opened(providers={"corp": corp})
        with pytest.raises(SettingsError):
            opened(before=old, providers={"corp": corp}, models={**ALIASES, "chat": "nowhere"})
        assert (await old.discover())["corp"] is None
        await old.close()
    assert len(server.asked) == 1


async def test_replaced_providers_are_closed_when_their_calls_have_ended(opened: Open) -> None:
    old = opened(providers={"gone": ONE})
    plan = old.routes().chat("gone/a")
    closed: list[bool] = []

    async def retire() -> None:
        await old.retire(longest_s=60)
        closed.append(True)

    async with asyncio.TaskGroup() as group:
        with plan.lease:
            group.create_task(retire())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert closed == []
    assert closed == [True]


async def test_a_call_that_does_not_end_does_not_keep_replaced_providers_open(opened: Open) -> None:
    old = opened(providers={"gone": ONE})
    with old.routes().chat("gone/a").lease:
        async with asyncio.timeout(5):
            await old.retire(longest_s=0.0)
