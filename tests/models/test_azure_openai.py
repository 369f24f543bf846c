from __future__ import annotations

import pytest
from pydantic import SecretStr

from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.vectors import EmbedRequest
from causeway.models.azure_openai import AzureOpenAI
from causeway.models.provider import collect
from causeway.settings import ProviderSettings
from tests.models.conftest import Serve
from tests.models.provider_server import Prepared, ProviderServer

REPLY = Prepared(body={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
VECTOR = Prepared(body={"data": [{"index": 0, "embedding": [1.0]}]})


@pytest.mark.parametrize(
    ("base", "version", "model", "path", "limit"),
    [
        (
            "",
            "",
            "my gpt/4",
            "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21",
            "max_tokens",
        ),
        (
            "/openai",
            "2025-04-01-preview",
            "o3",
            "/openai/deployments/o3/chat/completions?api-version=2025-04-01-preview",
            "max_completion_tokens",
        ),
        ("/openai/v1/", "", "gpt-4o", "/openai/v1/chat/completions", "max_completion_tokens"),
        (
            "/openai/v1",
            "preview",
            "gpt-4o",
            "/openai/v1/chat/completions?api-version=preview",
            "max_completion_tokens",
        ),
    ],
)
async def test_a_deployment_is_called_at_its_address(
    serve: Serve, base: str, version: str, model: str, path: str, limit: str
) -> None:
    server = ProviderServer([REPLY])
    settings = ProviderSettings(
        kind="azure",
        base_url=await serve(server.application) + base,
        api_key=SecretStr("k-1"),
        api_version=version,
    )
    client = AzureOpenAI("blue", settings)
    request = ChatRequest(model=model, messages=(Message("user", "Hello"),), max_tokens=5)
    assert (await client.complete(request)).text == "Hi"
    assert (await collect(client.stream(request))).text == "Hi"
    await client.close()
    assert server.paths == [path, path]
    assert server.headers[0]["api-key"] == "k-1"
    assert "Authorization" not in server.headers[0]
    assert server.asked[0][limit] == 5


async def test_vectors_come_from_their_own_deployment(serve: Serve) -> None:
    server = ProviderServer([VECTOR])
    client = AzureOpenAI("blue", ProviderSettings(kind="azure", base_url=await serve(server.application)))
    await client.embed(EmbedRequest(model="ada", texts=("a",)))
    await client.close()
    assert server.paths == ["/openai/deployments/ada/embeddings?api-version=2024-10-21"]


async def test_deployments_are_not_listed() -> None:
    client = AzureOpenAI("blue", ProviderSettings(kind="azure", base_url="http://127.0.0.1:1"))
    assert await client.list_models() == ()
