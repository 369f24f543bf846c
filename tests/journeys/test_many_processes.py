"""Several processes behind one door: the same limits, budgets, cache, breakers and keys, exact across all of them.

Two ``causeway serve`` on one PostgreSQL and a real Redis, and a provider that counts what reaches it.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from causeway.settings import child_environment
from tests.conftest import RedisServer

pytestmark = pytest.mark.timeout(300)

CAUSEWAY = str(Path(sys.executable).with_name("causeway"))
SETTINGS = """
[storage]
dir = "{folder}"
[redis]
url = "{redis}"
[models]
chat = "upstream/small"
fast = "upstream/small"
embed = "words/embed"
rerank = ""
[providers.words]
kind = "scripted"
[providers.upstream]
base_url = "{upstream}/v1"
models = ["small", "broken"]
prices = {{ small = {{ input = "1", output = "1" }} }}
[gateway]
retries = 0
[tiers.ten]
requests_per_minute = 10
cache = "off"
[tiers.plain]
cache = "exact"
[tiers.uncached]
cache = "off"
"""
MOST_TOKENS = 100


@dataclass
class Upstream:
    """A provider that counts, and that holds calls back while ``gate`` is closed."""

    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body["model"])
        self.reached.set()
        await self.gate.wait()
        if body["model"] == "broken":
            return web.json_response({"error": {"message": "out of order"}}, status=500)
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        message = {"role": "assistant", "content": "well"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "small",
                "choices": [choice],
                "usage": usage,
            }
        )


@dataclass
class Doors:
    """The running processes and how to call them."""

    upstream: Upstream
    addresses: tuple[str, ...]
    processes: list[subprocess.Popen[str]]
    environment: dict[str, str]
    http: aiohttp.ClientSession

    async def causeway(self, *arguments: str) -> Any:
        command = [CAUSEWAY, *arguments]
        child = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said, complaints = await child.communicate()
        assert child.returncode == 0, complaints.decode()
        return json.loads(said) if said else None

    async def key(self, tier: str, *arguments: str) -> str:
        made = await self.causeway("keys", "create", "journey", "--tier", tier, "--json", *arguments)
        return str(made["key"])

    async def ask(
        self, door: int, key: str, text: str = "hi", model: str = "upstream/small"
    ) -> tuple[int, Any]:
        body = {"model": model, "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": text}]}
        url = f"{self.addresses[door % 2]}/v1/chat/completions"
        async with self.http.post(url, json=body, headers={"Authorization": f"Bearer {key}"}) as answer:
            return answer.status, await answer.json()

    async def ask_all(self, count: int, key: str) -> list[int]:
        """``count`` calls at once, half of them at each door; their statuses."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.ask(number, key, f"question {number}")) for number in range(count)
            ]
        return [task.result()[0] for task in tasks]


@pytest.fixture
async def doors(redis_server: RedisServer) -> AsyncIterator[Doors]:
    upstream = Upstream()
    upstream.gate.set()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    # Not under pytest's folder: run as root, pytest closes that to the user whom PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="causeway-journey-") as name:
        config = Path(name) / "causeway.toml"
        config.write_text(
            SETTINGS.format(
                folder=Path(name) / "data", redis=redis_server.url, upstream=f"http://127.0.0.1:{port}"
            )
        )
        environment = child_environment(CAUSEWAY_CONFIG=str(config))
        processes = [_serve(environment) for _ in range(2)]
        addresses = [await asyncio.to_thread(_address, process) for process in processes]
        try:
            async with aiohttp.ClientSession() as http:
                yield Doors(upstream, tuple(addresses), processes, environment, http)
        finally:
            upstream.gate.set()
            for process in processes:
                process.terminate()
            for process in processes:
                await asyncio.to_thread(process.wait, 60)
                assert process.stdout is not None
                process.stdout.close()
            await runner.cleanup()


def _serve(environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [CAUSEWAY, "serve", "--port", "0"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return found[0]
    pytest.fail("causeway serve ended early")


async def test_limits_budgets_cache_and_keys_are_one_for_all_processes(doors: Doors) -> None:
    limited = await doors.key("ten")
    statuses = await doors.ask_all(30, limited)
    assert (statuses.count(200), statuses.count(429)) == (10, 20)
    assert len(doors.upstream.asked) == 10

    # every call reserves at most 100 + its input micros, and costs 20 when it has ended
    paid = await doors.key("uncached", "--budget-day", "0.001")
    doors.upstream.asked.clear()
    for _ in range(5):
        await doors.ask_all(10, paid)
    status, refused = await doors.ask(0, paid)
    while status == 200:
        status, refused = await doors.ask(0, paid)
    assert len(doors.upstream.asked) * 20 <= 1000
    assert len(doors.upstream.asked) >= 43, "reservations were not settled to what was used"
    assert (status, refused["error"]["code"]) == (429, "budget_spent")

    cached = await doors.key("plain")
    doors.upstream.asked.clear()
    assert [(await doors.ask(door, cached, "the same"))[0] for door in (0, 1, 0)] == [200] * 3
    assert len(doors.upstream.asked) == 1

    gone = await doors.causeway("keys", "create", "leaver", "--json")
    assert [(await doors.ask(door, gone["key"], "mine"))[0] for door in (0, 1)] == [200] * 2
    await doors.causeway("keys", "revoke", gone["id"])
    assert [(await doors.ask(door, gone["key"], "mine"))[0] for door in (0, 1)] == [401] * 2


async def test_a_breaker_that_one_process_opens_is_open_in_the_other(
    doors: Doors, eventually: Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
) -> None:
    key = await doors.key("uncached")

    async def is_open(door: int, every_s: float) -> bool:
        await asyncio.sleep(every_s)
        return (await doors.ask(door, key, model="upstream/broken"))[0] == 503

    await eventually(lambda: is_open(0, 0.0))
    failures = len(doors.upstream.asked)
    await eventually(lambda: is_open(1, 0.5))
    assert len(doors.upstream.asked) < 2 * failures, "the other process had to find out by itself"


async def test_a_call_whose_process_is_killed_is_paid_from_the_budget(doors: Doors) -> None:
    made = await doors.causeway(
        "keys", "create", "victim", "--tier", "uncached", "--budget-day", "0.000250", "--json"
    )
    key = str(made["key"])
    doors.upstream.gate.clear()
    doors.upstream.reached.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(_broken_off(doors, key))
        await doors.upstream.reached.wait()
        doors.processes[0].kill()
    doors.upstream.gate.set()
    doors.upstream.asked.clear()
    # a process that starts adopts the dead one's journal; the call counts with what was reserved for it
    await doors.causeway("keys", "list", "--json")
    statuses = [(await doors.ask(1, key, f"again {number}"))[0] for number in range(8)]
    spent = len(doors.upstream.asked) * 20
    assert 429 in statuses
    assert spent <= 150, "the killed call's reservation was forgotten"


async def _broken_off(doors: Doors, key: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        await doors.ask(0, key)
