from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.gateway.provider_check import ProviderChecks
from causeway.settings import ProviderSettings, StorageSettings


class Upstream:
    """A server that speaks OpenAI's API as far as a test goes."""

    def __init__(self) -> None:
        self.models = ["text-embedding-3-small", "gpt-4o-mini", "gpt-4o"]
        self.key = "sk-good"
        self.asked: list[str] = []
        self.is_hung = False
        self.address = ""

    async def list(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "bad key"}}, status=401)
        if not self.models:
            return web.json_response({"error": {"message": "no such path"}}, status=404)
        return web.json_response({"data": [{"id": model} for model in self.models]})

    async def chat(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked["model"])
        if self.is_hung:
            await asyncio.Event().wait()
        if asked["model"] == "gone":
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        choice = {"index": 0, "message": {"role": "assistant", "content": "ready"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        return web.json_response({"choices": [choice], "usage": usage, "model": asked["model"]})


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    served = Upstream()
    app = web.Application()
    app.router.add_get("/v1/models", served.list)
    app.router.add_post("/v1/chat/completions", served.chat)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield served
    await runner.cleanup()


@pytest.fixture
def checks(tmp_path: Path) -> ProviderChecks:
    storage = StorageSettings(dir=tmp_path, models_dir=tmp_path / "models")
    return ProviderChecks(run_dir=tmp_path, storage=storage, clock=SystemClock(), deadline_s=2.0)


def settings_of(upstream: Upstream, **changed: object) -> ProviderSettings:
    values = {"base_url": upstream.address, "api_key": SecretStr(upstream.key), **changed}
    return ProviderSettings.model_validate(values)


async def test_a_provider_that_works_lists_its_models_and_answers(
    checks: ProviderChecks, upstream: Upstream
) -> None:
    checked = await checks.check("openai", settings_of(upstream))
    assert (checked.is_ok, checked.model, checked.told) == (True, "gpt-4o-mini", "'gpt-4o-mini' answered")
    assert set(checked.listed or ()) == {"text-embedding-3-small", "gpt-4o-mini", "gpt-4o"}
    assert checked.latency_ms is not None
    assert upstream.asked == ["gpt-4o-mini"]  # an embedding model is not asked to chat
    assert checks.newest("openai") == checked
    assert checks.newest("other") is None


async def test_the_model_that_is_named_is_called(checks: ProviderChecks, upstream: Upstream) -> None:
    await checks.check("openai", settings_of(upstream, models=["gpt-4o"]))
    await checks.check("openai", settings_of(upstream), model="gpt-4o")
    assert upstream.asked == ["gpt-4o", "gpt-4o"]


async def test_a_refused_key_is_told_without_showing_it(checks: ProviderChecks, upstream: Upstream) -> None:
    checked = await checks.check("openai", settings_of(upstream, api_key=SecretStr("sk-wrong-one")))
    assert not checked.is_ok
    assert "openai" in checked.told
    assert "sk-wrong-one" not in repr(checked)


async def test_a_server_that_lists_nothing_can_still_answer(
    checks: ProviderChecks, upstream: Upstream
) -> None:
    upstream.models = []
    checked = await checks.check("vllm", settings_of(upstream, models=["gpt-4o-mini"]))
    assert (checked.is_ok, checked.listed) == (True, None)
    assert checked.listing_problem


async def test_a_model_that_is_not_there_is_told(checks: ProviderChecks, upstream: Upstream) -> None:
    checked = await checks.check("openai", settings_of(upstream, models=["gone"]))
    assert (checked.is_ok, checked.model) == (False, "gone")
    assert "gone" in checked.told


async def test_without_a_chat_model_one_is_asked_for(checks: ProviderChecks, upstream: Upstream) -> None:
    upstream.models = ["text-embedding-3-small"]
    checked = await checks.check("openai", settings_of(upstream))
    assert (checked.is_ok, checked.model) == (False, None)
    assert "name one to call" in checked.told
    assert upstream.asked == []


@pytest.mark.parametrize(
    "provider",
    [
        ProviderSettings(base_url="http://127.0.0.1:9/v1", models=["any"]),
        ProviderSettings(base_url="", models=["any"]),
        ProviderSettings(kind="anthropic", base_url="http://127.0.0.1:9", models=["any"]),
    ],
)
async def test_what_cannot_be_reached_is_a_result_too(
    checks: ProviderChecks, provider: ProviderSettings
) -> None:
    checked = await checks.check("away", provider)
    assert not checked.is_ok
    assert "away" in checked.told


async def test_a_server_that_hangs_is_given_up(
    tmp_path: Path, upstream: Upstream, eventually: Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
) -> None:
    upstream.is_hung = True
    storage = StorageSettings(dir=tmp_path, models_dir=tmp_path / "models")
    short = ProviderChecks(run_dir=tmp_path, storage=storage, clock=SystemClock(), deadline_s=0.3)
    checked = await short.check("openai", settings_of(upstream))
    assert (checked.is_ok, checked.told) == (False, "no answer within 0.3 s")


async def test_a_scripted_provider_answers(checks: ProviderChecks) -> None:
    checked = await checks.check("scripted", ProviderSettings(kind="scripted", models=["chat"]))
    assert (checked.is_ok, checked.model) == (True, "chat")
