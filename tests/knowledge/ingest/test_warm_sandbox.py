from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.sandbox import (
    ParseLimits,
    parse,
    python_command,
    quiet_environment,
    request_of,
)
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox

LIMITS = ParseLimits(timeout_s=60)


@pytest.fixture
async def sandbox() -> AsyncIterator[WarmSandbox]:
    async with WarmSandbox(LIMITS) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def put(name: str, content: bytes) -> Path:
        file = tmp_path / name
        file.write_bytes(content)
        return file

    return put


async def test_files_read_as_in_a_fresh_process(sandbox: WarmSandbox, write: Any) -> None:
    for name, content in (
        ("a.md", b"# Leave\n\n25 days.\n"),
        ("a.csv", b"a;b\n1;2\n"),
        ("a.txt", b"Just words.\n"),
    ):
        file = write(name, content)
        assert await sandbox.parse(file, name=name) == await parse(file, name=name, limits=LIMITS)


async def test_many_files_are_read_at_the_same_time(sandbox: WarmSandbox, write: Any) -> None:
    files = [write(f"{number}.txt", f"The text of file {number}.".encode()) for number in range(12)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sandbox.parse(file, name=file.name)) for file in files]
    assert [task.result().blocks[0].text for task in tasks] == [
        f"The text of file {number}." for number in range(12)
    ]


def test_reading_closes_no_descriptor_that_is_somebody_elses_by_then(write: Any) -> None:
    file = write("a.txt", b"Words.")

    async def read() -> None:
        async with WarmSandbox(LIMITS) as sandbox:
            for _ in range(3):
                await sandbox.parse(file, name="a.txt")
                mine = [os.open(file, os.O_RDONLY) for _ in range(8)]  # gets the numbers that are free now
                for _ in range(4):
                    await asyncio.sleep(0)
                for descriptor in mine:
                    os.close(descriptor)  # fails when it was closed meanwhile

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop that Causeway runs on
        runner.run(read())


def test_readers_end_with_a_parent_that_was_killed_before_it_heard_of_them(write: Any) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [*python_command("causeway.knowledge.ingest.parse_nursery"), str(theirs.fileno()), "eng"]
    nursery = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=quiet_environment())
    theirs.close()
    ours.recv(4096)  # it is ready
    request = {**request_of(write("a.html", b"<div>" * 120_000), "a.html", LIMITS), "number": 0}
    read_end, write_end = os.pipe()
    socket.send_fds(ours, [json.dumps(request).encode()], [write_end, write_end])
    os.close(write_end)
    reader = json.loads(ours.recv(4096, socket.MSG_PEEK))["process"]
    ours.close()  # what it said of its reader was not taken: the other side sees a reset, not an end
    assert nursery.wait(60) == 0
    with os.fdopen(read_end, "rb") as answers:
        assert answers.read() == b""  # the reader is gone, without an answer
    assert not Path(f"/proc/{reader}").exists() or _is_dead(reader)


def _is_dead(process: int) -> bool:
    """Whether a process has ended, though nobody has taken note of it yet."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def test_what_the_reader_says_reaches_the_owner(sandbox: WarmSandbox, write: Any) -> None:
    with pytest.raises(UnreadableDocumentError, match="sound or video"):
        await sandbox.parse(write("a.mp3", b"ID3" + b"\0" * 50), name="a.mp3")


async def test_a_file_that_takes_too_long_is_given_up_and_its_process_killed(write: Any) -> None:
    nested, plain = write("a.html", b"<div>" * 120_000), write("a.txt", b"Words.")
    async with WarmSandbox(ParseLimits(timeout_s=60)) as sandbox:
        await sandbox.parse(plain, name="a.txt")
        (nursery,) = _children(os.getpid())
        slow = WarmSandbox(ParseLimits(timeout_s=0.3))
        slow._nursery = sandbox._nursery
        with pytest.raises(UnreadableDocumentError, match=r"longer than 0\.3 seconds"):
            await slow.parse(nested, name="a.html")
        assert _busy(nursery) == []
        assert (await sandbox.parse(plain, name="a.txt")).blocks[0].text == "Words."


async def test_giving_up_the_wait_kills_the_process(sandbox: WarmSandbox, write: Any) -> None:
    await sandbox.parse(write("a.txt", b"Words."), name="a.txt")
    (nursery,) = _children(os.getpid())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await sandbox.parse(write("a.html", b"<div>" * 120_000), name="a.html")
    assert _busy(nursery) == []


async def test_a_file_that_takes_too_much_memory_harms_no_other(write: Any) -> None:
    text = write("a.md", b"word [link](x) *and* more text\n\n" * 150_000)
    async with WarmSandbox(ParseLimits(timeout_s=60, memory_bytes=600_000_000)) as sandbox:
        with pytest.raises(UnreadableDocumentError, match="memory"):
            await sandbox.parse(text, name="a.md")
        assert (await sandbox.parse(write("a.txt", b"Words."), name="a.txt")).blocks[0].text == "Words."


async def test_a_killed_nursery_is_replaced(sandbox: WarmSandbox, write: Any) -> None:
    file = write("a.txt", b"Words.")
    await sandbox.parse(file, name="a.txt")
    (nursery,) = _children(os.getpid())
    os.kill(nursery, signal.SIGKILL)
    assert (await sandbox.parse(file, name="a.txt")).blocks[0].text == "Words."
    assert nursery not in _children(os.getpid())


async def test_readers_that_stand_ready_end_with_a_killed_nursery(sandbox: WarmSandbox, write: Any) -> None:
    await sandbox.parse(write("a.txt", b"Words."), name="a.txt")
    (nursery,) = _children(os.getpid())
    while not (ready := _children(nursery)):  # noqa: ASYNC110 - it forks them once nobody waits
        await asyncio.sleep(0.01)
    os.kill(nursery, signal.SIGKILL)
    async with asyncio.timeout(10):
        while not all(_is_gone(process) for process in ready):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_pdf_of_some_pages_is_read_by_two_that_stand_ready(
    write: Any, make_pdf: Any, draw: Any
) -> None:
    pages = [
        draw.lines([f"page {number} says what page {number} has to say", "and no more."])
        for number in range(9)
    ]
    file = write("a.pdf", make_pdf(pages))
    async with WarmSandbox(ParseLimits(timeout_s=60, threads=2)) as sandbox:
        first = await sandbox.parse(file, name="a.pdf")
        (nursery,) = _children(os.getpid())
        before = set(await _ready(nursery, min(2, len(os.sched_getaffinity(0)))))
        assert await sandbox.parse(file, name="a.pdf") == first
        after = set(await _ready(nursery, len(before)))
    alone = await parse(file, name="a.pdf", limits=ParseLimits(timeout_s=60, threads=1))
    assert first.blocks == alone.blocks
    assert [block.places for block in first.blocks] == [block.places for block in alone.blocks]
    assert not before & after  # both are gone: each reads one file, or a part of one


async def test_a_helper_ends_with_the_reader_that_is_given_up(write: Any, make_pdf: Any, draw: Any) -> None:
    line = "page after page of words that take their time to be read"
    file = write("a.pdf", make_pdf([draw.lines([f"{line} {number}"] * 45, y=60) for number in range(1000)]))
    async with WarmSandbox(ParseLimits(timeout_s=60, threads=2)) as sandbox:
        await sandbox.parse(write("a.txt", b"Words."), name="a.txt")
        (nursery,) = _children(os.getpid())
        readers = min(2, len(os.sched_getaffinity(0)))
        await _ready(nursery, readers)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            reading = group.create_task(sandbox.parse(file, name="a.pdf"))
            while len(_busy(nursery)) < readers:  # noqa: ASYNC110 - they say nothing until they have read it
                await asyncio.sleep(0.001)
            reading.cancel()
        assert reading.cancelled()
        async with asyncio.timeout(10):
            while _busy(nursery):  # noqa: ASYNC110 - they are killed, and end when the kernel has time for it
                await asyncio.sleep(0.01)


async def test_readers_that_have_said_all_are_forgotten(sandbox: WarmSandbox, write: Any) -> None:
    for _ in range(3):
        await sandbox.parse(write("a.txt", b"Words."), name="a.txt")
    assert sandbox._nursery is not None
    async with asyncio.timeout(10):
        while sandbox._nursery._children:  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(0.01)


async def _ready(nursery: int, count: int) -> list[int]:
    """So many readers that stand ready."""
    await asyncio.sleep(0.2)  # those that have said all are gone
    async with asyncio.timeout(30):
        while len(found := _children(nursery)) < count:  # noqa: ASYNC110 - it forks them once nobody waits
            await asyncio.sleep(0.01)
    return found


def _is_gone(process: int) -> bool:
    try:
        return _is_dead(process)
    except OSError:
        return True


async def test_the_nursery_has_one_thread_and_no_secret(
    sandbox: WarmSandbox, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forking with a second thread about may copy a lock that nobody will ever release.
    monkeypatch.setenv("CAUSEWAY_SERVER__SESSION_SECRET", "hidden")
    await sandbox.parse(write("a.txt", b"Words."), name="a.txt")
    (nursery,) = _children(os.getpid())
    assert _threads(nursery) == 1
    assert b"CAUSEWAY_" not in _environment(nursery)


async def test_nothing_is_left_when_it_closes(write: Any) -> None:
    async with WarmSandbox(LIMITS) as sandbox:
        await sandbox.parse(write("a.txt", b"Words."), name="a.txt")
        assert len(_children(os.getpid())) == 1
    assert _children(os.getpid()) == []


async def test_a_file_that_needs_no_process_starts_none(write: Any) -> None:
    async with WarmSandbox(LIMITS) as sandbox:
        with pytest.raises(UnreadableDocumentError, match="is empty"):
            await sandbox.parse(write("zero.pdf", b""), name="zero.pdf")
        assert _children(os.getpid()) == []


def _busy(nursery: int) -> list[int]:
    """Its readers that have been at work for long: one that stands ready has done less than a tenth of a second of it."""
    return [process for process in _children(nursery) if _worked_s(process) > 0.15]


def _worked_s(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _threads(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


def _environment(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


def _children(process: int) -> list[int]:
    """The readers that ``process`` has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == process and fields[0] != "Z" and b"parse_nursery" in command:
                found.append(int(entry.name))
    return found


def test_readings_that_begin_and_end_at_once_do_not_mix_on_the_loop_that_serves(tmp_path: Path) -> None:
    """uvloop closed descriptors that others had opened meanwhile: a file's text came out as another's complaint."""
    file = tmp_path / "a.txt"
    file.write_bytes(b"The text.")

    def churn(stop: threading.Event) -> None:
        while not stop.is_set():
            for descriptor in [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]:
                os.close(descriptor)

    async def read_many() -> list[str]:
        async with WarmSandbox(LIMITS) as sandbox, asyncio.TaskGroup() as group:
            tasks = [group.create_task(read_some(sandbox)) for _ in range(6)]
        return [text for task in tasks for text in task.result()]

    async def read_some(sandbox: WarmSandbox) -> list[str]:
        parsed = [await sandbox.parse(file, name=file.name) for _ in range(12)]
        return [each.blocks[0].text for each in parsed]

    stop = threading.Event()
    opening = threading.Thread(target=churn, args=[stop])
    opening.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(read_many()) == ["The text."] * 72
    finally:
        stop.set()
        opening.join()
