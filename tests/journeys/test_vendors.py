"""Both vendors' official clients through the whole gateway and both kinds of provider, over real sockets.

The provider ``loop`` speaks Anthropic's API to the very same Causeway, whose provider ``upstream`` speaks OpenAI's to a
server of the test: so every wire format is both written and read by Causeway, and both ends are checked.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web

from causeway.settings import child_environment

pytestmark = pytest.mark.timeout(180)

CAUSEWAY = str(Path(sys.executable).with_name("causeway"))
MAIL = "ada.lovelace@example.org"
MODELS = ("upstream/small", "loop/upstream/small")
SETTINGS = """
[storage]
dir = "{folder}"
[models]
chat = "upstream/small"
fast = "upstream/small"
embed = "words/embed"
rerank = "words/rerank"
[providers.words]
kind = "scripted"
[providers.upstream]
base_url = "{upstream}/v1"
models = ["small"]
[providers.loop]
kind = "anthropic"
base_url = "http://127.0.0.1:{port}"
api_key = "{key}"
models = ["upstream/small"]
[tiers.internal]
cache = "off"
[tiers.pro]
cache = "off"
"""
TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}


class Upstream:
    """An OpenAI-compatible server that repeats the last message, word by word, or calls the tool it is offered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.reached = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        said = _text(body["messages"][-1])
        if "wait for ever" in said:
            self.reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.gone.set()
        has_tool = bool(body.get("tools")) and body["messages"][-1]["role"] != "tool"
        message: dict[str, Any] = {"role": "assistant", "content": None if has_tool else said}
        if has_tool:
            message["tool_calls"] = [TOOL_CALL]
        finish = "tool_calls" if has_tool else "stop"
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return web.json_response(_completion("chat.completion", [choice], usage=usage))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        deltas: list[dict[str, Any]] = [{"tool_calls": [{"index": 0, **TOOL_CALL}]}] if has_tool else []
        deltas += [] if has_tool else [{"content": piece} for piece in re.findall(r".{1,5}", said, re.DOTALL)]
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            await _send(response, _completion("chat.completion.chunk", [choice]))
        last = {"index": 0, "delta": {}, "finish_reason": finish}
        await _send(response, _completion("chat.completion.chunk", [last]))
        await _send(response, _completion("chat.completion.chunk", [], usage=usage))
        await response.write(b"data: [DONE]\n\n")
        return response


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _completion(kind: str, choices: list[Any], **more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": "small", "choices": choices, **more}


async def _send(response: web.StreamResponse, payload: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(payload).encode() + b"\n\n")


class Door:
    """A running Causeway and both clients."""

    def __init__(self, address: str, key: str, upstream: Upstream) -> None:
        self.upstream = upstream
        self.openai = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=address, api_key=key, max_retries=0)

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Not under pytest's folder: run as root, pytest closes that to the user whom PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="causeway-journey-") as name:
        config = Path(name) / "causeway.toml"
        environment = child_environment(CAUSEWAY_CONFIG=str(config))
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"

        def configure(key: str) -> None:
            config.write_text(
                SETTINGS.format(folder=Path(name) / "data", upstream=address, port=port, key=key)
            )

        configure("none")
        made = await _run(environment, "keys", "create", "journey", "--json")
        configure(made["key"])
        serving = await asyncio.create_subprocess_exec(
            *(CAUSEWAY, "serve", "--port", str(port)),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert serving.stdout is not None
        while b"Ctrl+C" not in (said := await serving.stdout.readline()):
            assert said, "causeway serve ended early"
        opened = Door(f"http://127.0.0.1:{port}", made["key"], upstream)
        yield opened
        await opened.close()
        serving.terminate()
        await serving.wait()
    await runner.cleanup()


async def _run(environment: dict[str, str], *arguments: str) -> Any:
    child = await asyncio.create_subprocess_exec(
        CAUSEWAY, *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, complaints = await child.communicate()
    assert child.returncode == 0, complaints.decode()
    return json.loads(said)


async def test_both_clients_reach_both_kinds_of_provider_and_personal_data_stays_here(door: Door) -> None:
    text = f"Tell {MAIL} that it works."
    for model in MODELS:
        await _openai_says(door, model, text)
        await _anthropic_says(door, model, text)
    sent = json.dumps(door.upstream.asked)
    assert MAIL not in sent
    assert "[EMAIL_1]" in sent
    await _tools_come_and_go(door)
    await _a_client_that_leaves_ends_the_call(door)


async def _openai_says(door: Door, model: str, text: str) -> None:
    asked: Any = [{"role": "user", "content": text}]
    raw = await door.openai.chat.completions.with_raw_response.create(
        model=model, messages=asked, max_tokens=50
    )
    plain = raw.parse()
    assert (plain.choices[0].message.content, plain.choices[0].finish_reason) == (text, "stop")
    assert plain.usage is not None
    assert (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (11, 7)
    assert raw.headers["x-causeway-model"] == model
    stream = await door.openai.chat.completions.create(
        model=model, messages=asked, max_tokens=50, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    answer = await door.openai.responses.create(model=model, input=text, max_output_tokens=50)
    assert answer.output_text == text


async def _anthropic_says(door: Door, model: str, text: str) -> None:
    asked: Any = [{"role": "user", "content": text}]
    plain = await door.anthropic.messages.create(model=model, messages=asked, max_tokens=50)
    assert [block.text for block in plain.content if block.type == "text"] == [text]
    assert (plain.stop_reason, plain.usage.output_tokens) == ("end_turn", 7)
    async with door.anthropic.messages.stream(model=model, messages=asked, max_tokens=50) as stream:
        assert "".join([piece async for piece in stream.text_stream]) == text
        assert (await stream.get_final_message()).stop_reason == "end_turn"


async def _tools_come_and_go(door: Door) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
    asked: Any = [{"role": "user", "content": "Is it raining?"}]
    for model in MODELS:
        called = await door.anthropic.messages.create(
            model=model,
            max_tokens=50,
            messages=asked,
            tools=[{"name": "weather", "input_schema": schema}],
        )
        (block,) = [block for block in called.content if block.type == "tool_use"]
        assert (called.stop_reason, block.name, block.input) == ("tool_use", "weather", {"city": "Oslo"})
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": schema}}
        stream = await door.openai.chat.completions.create(
            model=model, messages=asked, tools=[tool], stream=True, max_tokens=50
        )
        arguments = ""
        async for chunk in stream:
            for choice in chunk.choices:
                for delta in choice.delta.tool_calls or ():
                    arguments += (delta.function and delta.function.arguments) or ""
        assert json.loads(arguments) == {"city": "Oslo"}


async def _a_client_that_leaves_ends_the_call(door: Door) -> None:
    for model in MODELS:
        door.upstream.reached.clear()
        door.upstream.gone.clear()
        asked: Any = [{"role": "user", "content": "wait for ever"}]
        call = asyncio.ensure_future(
            door.openai.chat.completions.create(model=model, messages=asked, max_tokens=50)
        )
        await door.upstream.reached.wait()
        call.cancel()
        async with asyncio.timeout(10):
            await door.upstream.gone.wait()
