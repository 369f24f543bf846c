"""Reads a file in a process made for it alone, so that no file can take Causeway down.

Every fast reader we tried crashed, hung or took gigabytes on some file (`docs/adr/0004-parsing-in-a-disposable-process.md`). The
child limits its own memory, time and files (`parse_child`); the parent keeps the deadline, bounds what it takes back,
and kills the child's whole process group. The parent imports none of the readers.

How many files are read at once is the caller's business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import msgspec

from causeway.errors import EmptyDocumentError, UnreadableDocumentError
from causeway.knowledge.document import ParsedDocument
from causeway.settings import KnowledgeSettings, child_environment

log = logging.getLogger(__name__)

_CHILD = "causeway.knowledge.ingest.parse_child"
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # glibc's arenas of one thread each count against the memory limit
}
_MOST_COMPLAINTS_BYTES = 64_000
_EMPTY = "the file is empty"
_GONE = "the file is no longer there"
_OUT_OF_MEMORY = (b"memory allocation", b"MemoryError", b"bad_alloc", b"out of memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """What reading one file may take.

    Attributes:
        timeout_s: Longest time for a file; each page that is read from its picture adds ``page_timeout_s``, so that
            a long scan is read to its end and a stuck one is not waited for.
        page_timeout_s: Longest time that reading the picture of one page may take.
        languages: What pictures of text are read in: Tesseract's names joined by ``+``, or ``auto``.
        memory_bytes: What the process may take that reads a file; a long PDF is read by two while no other file is.
        threads: Pictures of one file that are read at the same time; with more than one, long PDFs are read by two
            processes.
        max_answer_bytes: Most that the child may hand back, as JSON.
    """

    timeout_s: float = 120.0
    memory_bytes: int = 2_000_000_000
    max_pages: int = 3000
    max_file_bytes: int = 200_000_000
    page_timeout_s: float = 30.0
    languages: str = "auto"
    threads: int = field(default_factory=lambda: min(4, len(os.sched_getaffinity(0))))
    max_answer_bytes: int = 200_000_000

    @classmethod
    def from_settings(cls, settings: KnowledgeSettings) -> Self:
        """The limits that the settings name."""
        return cls(
            timeout_s=settings.parse_timeout_s,
            memory_bytes=settings.parse_memory_bytes,
            max_pages=settings.max_pages,
            max_file_bytes=settings.max_file_bytes,
            page_timeout_s=settings.ocr_page_timeout_s,
            languages=settings.ocr_languages,
        )


class Sandbox(Protocol):
    """Reads files where they can do no harm."""

    async def parse(self, path: Path, *, name: str) -> ParsedDocument:
        """The document in ``path``; ``name`` is what its owner calls it, extension included.

        Raises:
            UnreadableDocumentError: It cannot be made searchable; the message tells its owner why.
        """
        ...


@dataclass(frozen=True, slots=True)
class FreshSandbox:
    """Starts a process for each file; `warm_sandbox` is for those who read many."""

    limits: ParseLimits

    async def parse(self, path: Path, *, name: str) -> ParsedDocument:
        """As `Sandbox.parse`."""
        return await parse(path, name=name, limits=self.limits)


async def parse(path: Path, *, name: str, limits: ParseLimits) -> ParsedDocument:
    """The document in ``path``; ``name`` is what its owner calls it, extension included.

    Raises:
        UnreadableDocumentError: It cannot be made searchable; the message tells its owner why.
    """
    check_size(path, limits)
    process = await asyncio.create_subprocess_exec(
        *python_command(_CHILD),
        json.dumps(request_of(path, name, limits)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=quiet_environment(),
    )
    try:
        if process.stdout is None or process.stderr is None:
            raise AssertionError
        answer, complaints = await listen(process.stdout, process.stderr, limits)
        code = await process.wait()
    except TimeoutError as exc:
        raise UnreadableDocumentError(too_slow(limits)) from exc
    finally:
        await _end(process)
    return document_of(answer, complaints, code, limits)


def python_command(module: str) -> tuple[str, ...]:
    """A Python that runs ``module``; -P: a file that lies in the working directory must not pass for a module."""
    return (sys.executable, "-P", "-m", module)


def quiet_environment() -> dict[str, str]:
    """The environment of a process that reads: no secrets, and libraries that start no threads of their own."""
    return child_environment(**_SINGLE_THREADED)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the child says: the document, or why there is none."""

    document: ParsedDocument | None = None
    reason: str = ""
    is_empty: bool = False


def check_size(path: Path, limits: ParseLimits) -> None:
    """Refuse what need not be opened: a file that is gone, empty or too large."""
    try:
        size = path.stat().st_size
    except OSError as exc:
        raise UnreadableDocumentError(_GONE) from exc
    if size == 0:
        raise EmptyDocumentError(_EMPTY)
    if size > limits.max_file_bytes:
        raise UnreadableDocumentError(
            f"the file has {size / 1e6:,.1f} MB and the limit is {limits.max_file_bytes / 1e6:,.1f} MB; "
            "split it, or raise knowledge.max_file_bytes"
        )


def request_of(path: Path, name: str, limits: ParseLimits) -> dict[str, object]:
    """What the child is told."""
    return {
        "path": str(path.absolute()),
        "name": name,
        "max_pages": limits.max_pages,
        "memory_bytes": limits.memory_bytes,
        "timeout_s": limits.timeout_s,
        "page_timeout_s": limits.page_timeout_s,
        "languages": limits.languages,
        "threads": limits.threads,
        "readers": limits.threads,
    }


class Readable(Protocol):
    """Where a child's words arrive."""

    async def read(self, most: int, /) -> bytes:
        """Up to so many bytes, as soon as there are some; none at the end."""
        ...


async def listen(answers: Readable, complaints: Readable, limits: ParseLimits) -> tuple[bytes, bytes]:
    """All the child says, up to the limits; one that says more is cut off.

    Raises:
        TimeoutError: It took longer than it may.
    """
    async with asyncio.timeout(limits.timeout_s) as deadline, asyncio.TaskGroup() as group:
        said = group.create_task(_read_answer(answers, limits, deadline))
        complained = group.create_task(_read(complaints, _MOST_COMPLAINTS_BYTES))
    return said.result(), complained.result()


async def _read_answer(stream: Readable, limits: ParseLimits, deadline: asyncio.Timeout) -> bytes:
    """The answer; each empty line before it is a page that was read from its picture, and moves the deadline."""
    for _ in range(limits.max_pages + 1):
        piece = await stream.read(1 << 18)
        pages = len(piece) - len(piece.lstrip(b"\n"))
        due = deadline.when()
        if pages and due is not None:
            deadline.reschedule(due + pages * limits.page_timeout_s)
        if not piece or piece.strip(b"\n"):
            rest = await _read(stream, limits.max_answer_bytes) if piece else b""
            return piece.lstrip(b"\n") + rest
    return b""


async def _read(stream: Readable, most: int) -> bytes:
    """What comes, to its end; what exceeds ``most`` by a byte or more is dropped."""
    pieces: list[bytes] = []
    left = most + 1
    while piece := await stream.read(1 << 18):
        pieces.append(piece[:left])
        left -= len(pieces[-1])
    return b"".join(pieces)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the child and all it started, unless it is gone."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def is_whole(answer: bytes) -> bool:
    """Whether the child said all of it: there is no line's end within."""
    return answer.endswith(b"}\n")


def document_of(answer: bytes, complaints: bytes, code: int, limits: ParseLimits) -> ParsedDocument:
    """The document that a child's answer holds.

    Raises:
        EmptyDocumentError: It has no text.
        UnreadableDocumentError: There is none; the message tells its owner why.
    """
    if len(answer) > limits.max_answer_bytes:
        raise UnreadableDocumentError(
            f"the file holds more than {limits.max_answer_bytes / 1e6:,.0f} MB of text; split it"
        )
    if code != 0:
        log.warning("a reader died", extra={"code": code, "complaints": _tail(complaints)})
        raise UnreadableDocumentError(_death(code, complaints, limits))
    said = msgspec.json.decode(answer, type=_Answer)
    if complaints:
        log.warning("a reader failed", extra={"reason": said.reason, "complaints": _tail(complaints)})
    if said.document is None:
        raise (EmptyDocumentError if said.is_empty else UnreadableDocumentError)(said.reason)
    return said.document


def _death(code: int, complaints: bytes, limits: ParseLimits) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGALRM):
        return too_slow(limits)
    if code == -signal.SIGKILL or any(sign in complaints for sign in _OUT_OF_MEMORY):
        return (
            f"reading the file takes more than {limits.memory_bytes / 1e6:,.0f} MB of memory; "
            "split it, or raise knowledge.parse_memory_bytes"
        )
    return (
        f"the file crashed its reader: it is damaged, or takes more than {limits.memory_bytes / 1e6:,.0f} MB of memory;"
        " save it anew in its program, or split it, and add it again"
    )


def too_slow(limits: ParseLimits) -> str:
    """What the owner of a file is told that took too long."""
    return (
        f"reading the file took longer than {limits.timeout_s:g} seconds; "
        "split it, or raise knowledge.parse_timeout_s"
    )


def _tail(complaints: bytes) -> str:
    return complaints[-2000:].decode("utf-8", "replace")
