from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.sandbox import ParseLimits, listen, parse
from causeway.settings import KnowledgeSettings

LIMITS = ParseLimits(timeout_s=30)
READERS = (
    "pypdfium2",
    "pypdfium2_raw",
    "xberg",
    "magika",
    "onnxruntime",
    "selectolax",
    "markdown_it",
    "yaml",
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def put(name: str, content: bytes) -> Path:
        file = tmp_path / name
        file.write_bytes(content)
        return file

    return put


async def _reason(file: Path, limits: ParseLimits = LIMITS) -> str:
    with pytest.raises(UnreadableDocumentError) as caught:
        await parse(file, name=file.name, limits=limits)
    return caught.value.message


async def test_a_file_comes_back_as_a_document(write: Any) -> None:
    # Stored files have no extension: the name brings it.
    parsed = await parse(
        write("a1b2", b"---\nowner: Edie\n---\n# Leave\n\n25 days.\n"),
        name="handbook/leave.md",
        limits=LIMITS,
    )
    assert parsed.title == "Leave"
    assert parsed.metadata == {"owner": "Edie"}
    assert [(block.kind, block.text, block.level) for block in parsed.blocks] == [
        ("heading", "Leave", 1),
        ("paragraph", "25 days.", 0),
    ]


async def test_many_files_are_read_at_the_same_time(write: Any) -> None:
    files = [write(f"{number}.txt", f"The text of file {number}.".encode()) for number in range(6)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(parse(file, name=file.name, limits=LIMITS)) for file in files]
    assert [task.result().blocks[0].text for task in tasks] == [
        f"The text of file {number}." for number in range(6)
    ]


def test_limits_come_from_the_settings() -> None:
    limits = ParseLimits.from_settings(KnowledgeSettings(parse_timeout_s=7, max_pages=9))
    assert (limits.timeout_s, limits.max_pages, limits.memory_bytes) == (7, 9, 2_000_000_000)


async def test_what_the_reader_says_reaches_the_owner(write: Any) -> None:
    assert await _reason(write("a.mp3", b"ID3" + b"\0" * 50)) == (
        "the file is sound or video, which cannot be searched; add a transcript"
    )


async def test_empty_missing_and_large_files_need_no_process(write: Any, tmp_path: Path) -> None:
    assert await _reason(write("zero.pdf", b"")) == "the file is empty"
    assert await _reason(tmp_path / "gone.pdf") == "the file is no longer there"
    large = await _reason(write("a.txt", b"x" * 2000), ParseLimits(max_file_bytes=1000))
    assert "limit" in large
    assert "knowledge.max_file_bytes" in large


async def test_a_file_that_takes_too_long_is_given_up(write: Any) -> None:
    nested = write("a.html", b"<div>" * 120_000)
    reason = await _reason(nested, ParseLimits(timeout_s=0.5))
    assert (
        reason
        == "reading the file took longer than 0.5 seconds; split it, or raise knowledge.parse_timeout_s"
    )
    assert _readers_of(nested) == []


async def test_giving_up_the_wait_kills_the_child(write: Any) -> None:
    nested = write("a.html", b"<div>" * 120_000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await parse(nested, name="a.html", limits=LIMITS)
    assert _readers_of(nested) == []


async def test_a_file_that_takes_too_much_memory_is_given_up(write: Any) -> None:
    text = write("a.md", b"word [link](x) *and* more text\n\n" * 60_000)
    reason = await _reason(text, ParseLimits(timeout_s=30, memory_bytes=100_000_000))
    assert "memory" in reason
    assert "knowledge.parse_memory_bytes" in reason


async def test_a_child_that_says_too_much_is_cut_off(write: Any) -> None:
    reason = await _reason(
        write("a.txt", b"some words to read here\n\n" * 50_000), ParseLimits(max_answer_bytes=1_000_000)
    )
    assert reason == "the file holds more than 1 MB of text; split it"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bomb.zip", "made to do harm"),
        ("encrypted_user.pdf", "protected by a password"),
        ("truncated.pdf", "damaged or was cut short"),
        ("zero.pdf", "is empty"),
    ],
)
async def test_hostile_files_end_with_a_reason(shared_documents: Path, name: str, reason: str) -> None:
    assert reason in await _reason(shared_documents / "hostile" / name)


async def test_hostile_text_is_read(shared_documents: Path) -> None:
    file = shared_documents / "hostile" / "html_named.txt"
    assert (await parse(file, name=file.name, limits=LIMITS)).media_type == "text/html"


async def test_what_leads_out_of_an_archive_is_left_out(shared_documents: Path) -> None:
    file = shared_documents / "hostile" / "traversal.zip"
    parsed = await parse(file, name=file.name, limits=LIMITS)
    assert [block.text for block in parsed.blocks if block.level == 1] == ["ok.md"]
    assert parsed.metadata["skipped"].count("leads out of the archive") == 3


async def test_a_long_scan_is_waited_for_as_long_as_its_pages_come() -> None:
    # Past the file's own limit: the page that was read has moved it.
    answers, complaints = asyncio.StreamReader(), asyncio.StreamReader()
    complaints.feed_eof()
    answers.feed_data(b"\n")
    loop = asyncio.get_running_loop()
    loop.call_later(0.3, answers.feed_data, b'\n{"reason": "x"}')
    loop.call_later(0.3, answers.feed_eof)
    said, _ = await listen(answers, complaints, ParseLimits(timeout_s=0.1, page_timeout_s=60))
    assert said == b'{"reason": "x"}'


async def test_a_child_that_only_shows_signs_of_life_is_given_up() -> None:
    answers, complaints = asyncio.StreamReader(), asyncio.StreamReader()
    complaints.feed_eof()
    answers.feed_data(b"\n")
    with pytest.raises(TimeoutError):
        await listen(answers, complaints, ParseLimits(timeout_s=0.1, page_timeout_s=0.1))


async def test_mutilated_files_never_harm_the_caller(shared_documents: Path, write: Any) -> None:
    # Cut and overwritten at fixed places: whatever the readers make of it, it is a document or a reason.
    for source in ("pdf/minutes.pdf", "office/book.xlsx", "mail/minutes.eml"):
        whole = (shared_documents / source).read_bytes()
        for number, place in enumerate((len(whole) // 3, len(whole) - 900)):
            broken = whole[:place] + b"\xff\x00<<" * 40 + whole[place + 160 :]
            file = write(f"{number}{Path(source).suffix}", broken)
            with suppress(UnreadableDocumentError):
                parsed = await parse(file, name=file.name, limits=LIMITS)
                assert parsed.blocks


def test_the_parent_imports_no_reader() -> None:
    code = f"import sys, causeway.knowledge.ingest.sandbox; print([m for m in {READERS} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_child_starts_with_little() -> None:
    # Every file pays for these imports; causeway.knowledge must stay free of what only the parent needs.
    heavy = ("sqlalchemy", "pydantic", "numpy", "msgspec", "asyncio", "opentelemetry", *READERS)
    code = (
        f"import sys, causeway.knowledge.ingest.parse_child; print([m for m in {heavy} if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def _readers_of(file: Path) -> list[int]:
    """Processes that were started for ``file`` and still run."""
    running = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"parse_child" in command and str(file).encode() in command:
                running.append(int(entry.name))
    return running
