from __future__ import annotations

import pytest

from causeway.contracts.chat import ChatRequest, Message
from causeway.models.openai_compatible import OpenAICompatible
from causeway.settings import ProviderSettings
from tests.models.provider_server import Prepared, ProviderServer

HELLO = ChatRequest(model="m", messages=(Message("user", "Hello"),))
REPLY = Prepared(body={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("is_local", [True, False])
async def test_the_environments_proxy_is_used_but_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    proxy, direct = ProviderServer([REPLY]), ProviderServer([REPLY])
    async with proxy.served() as proxy_address, direct.served() as address:
        monkeypatch.setenv("http_proxy", proxy_address)
        monkeypatch.setenv("no_proxy", "elsewhere.test")
        client = OpenAICompatible("acme", ProviderSettings(base_url=f"{address}/v1"), is_local=is_local)
        assert (await client.complete(HELLO)).text == "Hi"
        await client.close()
    assert (len(proxy.asked), len(direct.asked)) == ((0, 1) if is_local else (1, 0))


async def test_a_host_that_needs_no_proxy_is_called_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = ProviderServer([REPLY])
    async with direct.served() as address:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        client = OpenAICompatible("acme", ProviderSettings(base_url=f"{address}/v1"))
        assert (await client.complete(HELLO)).text == "Hi"
        await client.close()


async def test_plain_calls_one_after_the_other_share_a_connection() -> None:
    server = ProviderServer([REPLY])
    async with server.served() as address:
        client = OpenAICompatible("acme", ProviderSettings(base_url=f"{address}/v1"))
        for _ in range(3):
            await client.complete(HELLO)
        await client.close()
    assert len(set(server.ports)) == 1
