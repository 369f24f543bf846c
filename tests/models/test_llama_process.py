from __future__ import annotations

import asyncio
import os
import signal
import stat
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import pytest

from causeway.contracts.chat import ChatRequest, Message
from causeway.errors import (
    CausewayError,
    ContextLengthError,
    InvalidInputError,
    MissingModelFileError,
    ModelUnavailableError,
)
from causeway.models.catalog import Adapter, Catalog, ModelCard
from causeway.models.llama_child import LlamaConfig
from causeway.models.llama_process import LlamaEndpoint, LlamaProcess
from causeway.models.local_chat import LocalChat
from causeway.models.provider import collect
from causeway.settings import ModelSettings
from causeway.testing.clock import FrozenClock
from tests.models.chat_provider_contract import check_chat_provider

MODEL = "smollm2-135m-instruct"
SETTINGS = ModelSettings(context_tokens=2048, parallel=2, start_timeout_s=60)
HELLO = ChatRequest(model=MODEL, messages=(Message("user", "Tell a long story."),), max_tokens=200)

Pulled = Callable[[str], tuple[ModelCard, Path]]
Start = Callable[[], LlamaProcess]
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
async def start(pulled: Pulled, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Start]:
    """``start()`` is a process object as each program of one data folder has it."""
    card, folder = pulled(MODEL)
    made = []

    def make() -> LlamaProcess:
        made.append(
            LlamaProcess(card, folder / card.weights.name, SETTINGS, run_dir=tmp_path / "run", clock=clock)
        )
        return made[-1]

    yield make
    for process in made:
        await process.close()


def write_adapter(file: Path, tensor: str, *, inputs: int, outputs: int) -> None:
    """An adapter of rank 1 for one tensor, in GGUF version 3."""

    def text(said: str) -> bytes:
        return struct.pack("<Q", len(said)) + said.encode()

    said = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    head = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in said.items())
    head += text("adapter.lora.alpha") + struct.pack("<If", 6, 1.0)
    shapes = {f"{tensor}.lora_a": (inputs, 1), f"{tensor}.lora_b": (1, outputs)}
    place, data = 0, b""
    for name, shape in shapes.items():
        head += text(name) + struct.pack("<IQQIQ", 2, *shape, 0, place)
        data += np.arange(-2, shape[0] * shape[1] - 2, dtype=np.float32).tobytes()
        data += bytes(-len(data) % 32)
        place = len(data)
    start = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(said) + 1) + head
    file.write_bytes(start + bytes(-len(start) % 32) + data)


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


async def test_without_its_file_a_model_names_the_command(tmp_path: Path, clock: FrozenClock) -> None:
    card = Catalog.load().get(MODEL)
    process = LlamaProcess(card, tmp_path / "none.gguf", SETTINGS, run_dir=tmp_path, clock=clock)
    with pytest.raises(MissingModelFileError, match=f"causeway models pull {MODEL}"):
        await process.ready()


async def test_a_file_that_is_no_model_fails_with_the_cause_and_backs_off(
    tmp_path: Path, clock: FrozenClock
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(1000))
    process = LlamaProcess(Catalog.load().get(MODEL), broken, SETTINGS, run_dir=tmp_path, clock=clock)
    for _ in range(2):  # the second try is at once
        with pytest.raises(ModelUnavailableError, match=r"did not start: .*GGUF version"):
            await process.ready()
    with pytest.raises(ModelUnavailableError, match=r"keeps failing .* in 2 s"):
        await process.ready()
    clock.advance(2)
    with pytest.raises(ModelUnavailableError, match="did not start"):
        await process.ready()
    with pytest.raises(ModelUnavailableError, match=r"in 4 s"):
        await process.ready()


async def test_a_state_file_of_a_child_that_is_gone_is_ignored(tmp_path: Path, clock: FrozenClock) -> None:
    card = Catalog.load().get(MODEL)
    stale = LlamaEndpoint("http://127.0.0.1:1", "key", 1, card.weights.sha256)
    (tmp_path / f"llama-{MODEL}.json").write_bytes(msgspec.json.encode(stale))
    process = LlamaProcess(card, tmp_path / "none.gguf", SETTINGS, run_dir=tmp_path, clock=clock)
    with pytest.raises(MissingModelFileError):
        await process.ready()


@pytest.mark.slow
async def test_a_local_model_keeps_the_contract_and_its_limits(start: Start) -> None:
    chat = LocalChat(start())
    await check_chat_provider(chat, MODEL)
    too_long = ChatRequest(model=MODEL, messages=(Message("user", "word " * 5000),))
    with pytest.raises(ContextLengthError, match="1024 fit"):
        await collect(chat.stream(too_long))
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    request = ChatRequest(model=MODEL, messages=(Message("user", "Hi"),), json_schema=schema, max_tokens=50)
    assert msgspec.json.decode((await collect(chat.stream(request))).text)["n"] in (1, 2)
    await chat.close()


async def test_an_adapter_that_the_model_lacks_is_named(tmp_path: Path, clock: FrozenClock) -> None:
    card = Catalog.load().get(MODEL)
    process = LlamaProcess(card, tmp_path / "none.gguf", SETTINGS, run_dir=tmp_path, clock=clock)
    request = msgspec.structs.replace(HELLO, options={"adapter": "poetry"})
    for adapters, has in ((), "it has none"), (("prose", "verse"), "it has prose, verse"):
        with pytest.raises(InvalidInputError, match=f"no adapter 'poetry'; {has}"):
            await collect(LocalChat(process, adapters).stream(request))


@pytest.mark.slow
async def test_an_adapter_is_at_work_in_the_calls_that_ask_for_it_alone(
    pulled: Pulled, tmp_path: Path, clock: FrozenClock
) -> None:
    card, folder = pulled(MODEL)
    file = tmp_path / "loud.gguf"
    write_adapter(file, "blk.29.ffn_down.weight", inputs=1536, outputs=576)
    loud = Adapter(name="loud", file=str(file), sha256="0" * 64)
    process = LlamaProcess(
        msgspec.structs.replace(card, adapters=(loud,)),
        folder / card.weights.name,
        SETTINGS,
        run_dir=tmp_path / "run",
        clock=clock,
    )
    chat = LocalChat(process, ["loud"])
    plain = msgspec.structs.replace(HELLO, max_tokens=12, temperature=0.0)
    adapted = msgspec.structs.replace(plain, options={"adapter": "loud"})
    said = [(await collect(chat.stream(request))).text for request in (plain, adapted, plain, adapted)]
    assert said[0] == said[2]
    assert said[1] == said[3]
    assert said[0] != said[1]
    await chat.close()


@pytest.mark.slow
async def test_a_child_answers_nobody_without_the_key(start: Start) -> None:
    endpoint = await start().ready()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{endpoint.address}/v1/chat/completions", json={"messages": []}) as answer,
    ):
        assert answer.status == 401
        assert answer.headers.get("Access-Control-Allow-Origin", "") == ""


@pytest.mark.slow
async def test_a_second_program_uses_the_first_ones_child(start: Start, tmp_path: Path) -> None:
    first = await start().ready()
    assert await start().ready() == first
    state_file = tmp_path / "run" / f"llama-{MODEL}.json"
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600


@pytest.mark.slow
async def test_a_child_that_is_killed_is_started_again(start: Start) -> None:
    process = start()
    chat = LocalChat(process)
    before = await process.ready()
    async with aclosing(chat.stream(HELLO)) as stream:
        await anext(stream)
        os.kill(before.pid, signal.SIGKILL)
        with pytest.raises(CausewayError):
            async for _ in stream:
                pass
    assert (await collect(chat.stream(HELLO))).text
    assert (await process.ready()).pid != before.pid
    await chat.close()


@pytest.mark.slow
async def test_a_child_whose_owner_ended_is_replaced_within_the_call(start: Start) -> None:
    owner, other = start(), start()
    await owner.ready()
    chat = LocalChat(other)
    await other.ready()
    await owner.close()
    assert (await collect(chat.stream(HELLO))).text
    await chat.close()


@pytest.mark.slow
async def test_closing_stops_the_child(start: Start, tmp_path: Path) -> None:
    process = start()
    pid = (await process.ready()).pid
    await process.close()
    assert not is_running(pid)
    assert not (tmp_path / "run" / f"llama-{MODEL}.json").exists()


OWNER = """
import asyncio, sys
from pathlib import Path
from causeway.contracts.clock import SystemClock
from causeway.models.catalog import Catalog
from causeway.models.llama_child import LlamaConfig
from causeway.models.llama_process import LlamaProcess
from causeway.settings import ModelSettings

async def main():
    card, gguf, run_dir = Catalog.load().get(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    process = LlamaProcess(card, gguf, ModelSettings(), run_dir=run_dir, clock=SystemClock())
    await process.ready()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["loading", "ready"])
async def test_kill_9_of_the_owner_leaves_no_orphan(
    pulled: Pulled, tmp_path: Path, moment: str, eventually: Eventually
) -> None:
    card, folder = pulled(MODEL)
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, MODEL, str(folder / card.weights.name), str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )

    async def has_child() -> bool:
        return bool(children_of(owner.pid))

    await eventually(has_child)
    child = children_of(owner.pid)[0]
    if moment == "ready" and owner.stdout:
        assert await owner.stdout.readline() == b"ready\n"
    owner.send_signal(signal.SIGKILL)
    await owner.wait()

    async def has_ended() -> bool:
        return not is_running(child)

    await eventually(has_ended)


async def test_a_child_whose_owner_left_before_it_could_watch_loads_nothing(tmp_path: Path) -> None:
    config = LlamaConfig(
        model=MODEL,
        gguf=str(tmp_path / "none.gguf"),
        api_key="key",
        threads=1,
        prompt_threads=1,
        context_tokens=512,
        parallel=1,
        idle_s=0,
    )
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "causeway.models.llama_child"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await child.communicate(msgspec.json.encode(config) + b"\n")
    assert child.returncode in {1, -signal.SIGIO}
    assert complaints == b"", "it tried to load the model"
