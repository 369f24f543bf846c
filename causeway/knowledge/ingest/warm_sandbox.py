"""Reads files as `sandbox.parse` does, each in a process of its own, forked from a warm one instead of started anew.

The limits, the deadline and the answers are the sandbox's; what differs is that the imports are paid once
(`bench/results/parsing.md`: 11 ms a file instead of 160). The warm process never opens a file. Should it be killed,
the files it was asked for are given to a new one, once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Self

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest.sandbox import (
    ParseLimits,
    check_size,
    document_of,
    is_whole,
    listen,
    python_command,
    quiet_environment,
    request_of,
    too_slow,
)

_NURSERY = "causeway.knowledge.ingest.parse_nursery"
_START_S = 60.0
_END_S = 5.0
_LONGEST_MESSAGE_BYTES = 4096
_NO_READER = (
    "Causeway's reader processes cannot be started; its log says more, and the file can be tried again"
)


class WarmSandbox:
    """Reads files; one for each process of Causeway."""

    def __init__(self, limits: ParseLimits) -> None:
        """Nothing is started before the first file."""
        self._limits = limits
        self._nursery: _Nursery | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._nursery is not None:
            await self._nursery.close()
            self._nursery = None

    async def parse(self, path: Path, *, name: str) -> ParsedDocument:
        """The document in ``path``; ``name`` is what its owner calls it, extension included.

        Raises:
            UnreadableDocumentError: It cannot be made searchable; the message tells its owner why.
        """
        check_size(path, self._limits)
        for _ in range(2):
            nursery = await self._warm()
            try:
                return await nursery.parse(path, name, self._limits)
            except ConnectionError:
                await nursery.close()
        raise UnreadableDocumentError(_NO_READER)

    async def _warm(self) -> _Nursery:
        async with self._starting:
            if self._nursery is None or self._nursery.is_gone:
                self._nursery = await _Nursery.start(self._limits)
            return self._nursery


@dataclass(slots=True)
class _Child:
    """What the nursery says of one child: its process, and when it ended with which code.

    Attributes:
        is_forked: Set when the process is known, or when nothing more will be heard of it.
        killed_in: Once it has said all and should end by itself.
    """

    process: int | None = None
    is_forked: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    killed_in: asyncio.TimerHandle | None = None

    def kill(self) -> None:
        """End it and all it started."""
        if self.process is not None:
            for end in (os.killpg, os.kill):  # a moment after the fork it has no group of its own yet
                with suppress(ProcessLookupError, PermissionError):
                    end(self.process, signal.SIGKILL)


class _Nursery:
    """The warm process, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self.is_gone = False
        self._process = process
        self._control = control
        self._children: dict[int, _Child] = {}
        self._reading = 0
        self._numbers = count()
        self._is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(control, self._hear)

    @classmethod
    async def start(cls, limits: ParseLimits) -> Self:
        """Start the process and wait until it is warm.

        Raises:
            UnreadableDocumentError: It does not start.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *python_command(_NURSERY),
                *(str(theirs.fileno()), limits.languages),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                env=quiet_environment(),
            )
        nursery = cls(process, ours)
        try:
            async with asyncio.timeout(_START_S):
                await nursery._is_ready
        except (TimeoutError, ConnectionError) as exc:
            await nursery.close()
            raise UnreadableDocumentError(_NO_READER) from exc
        except BaseException:
            await nursery.close()
            raise
        return nursery

    async def parse(self, path: Path, name: str, limits: ParseLimits) -> ParsedDocument:
        """The document in ``path``.

        Raises:
            ConnectionError: The warm process is gone.
            UnreadableDocumentError: The file cannot be read.
        """
        number = next(self._numbers)
        child = self._children[number] = _Child()
        self._reading += 1
        has_said_all = False
        try:
            answer, complained = await self._answer(path, name, limits, number)
            has_said_all = is_whole(answer)
            async with asyncio.timeout(limits.timeout_s):
                code = 0 if has_said_all else await asyncio.shield(child.ended)
        except TimeoutError as exc:
            raise UnreadableDocumentError(too_slow(limits)) from exc
        finally:
            self._reading -= 1
            if has_said_all:
                self._see_off(number, child)
            else:
                await self._end(child)
                del self._children[number]
        return document_of(answer, complained, code, limits)

    async def _answer(self, path: Path, name: str, limits: ParseLimits, number: int) -> tuple[bytes, bytes]:
        """What the child says, and what it complains of."""
        with _pipe() as (answers, answer_end), _pipe() as (complaints, complaint_end):
            asked = {**request_of(path, name, limits), "number": number}
            if self._reading > 1:  # the cores are for the other files
                asked["readers"] = 1
            request = json.dumps(asked).encode()
            ends = [answer_end.fileno(), complaint_end.fileno()]
            try:
                socket.send_fds(self._control, [request], ends)
            except OSError as exc:
                raise ConnectionError from exc
            answer_end.close()
            complaint_end.close()
            return await listen(answers, complaints, limits)

    async def close(self) -> None:
        """End the warm process, which ends its children first."""
        self._lose()
        self._control.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _hear(self) -> None:
        """Take in what the warm process says; called when there is something."""
        try:
            message = self._control.recv(_LONGEST_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lose()
            return
        said = json.loads(message)
        child = self._children.get(said.get("number"))
        if "ready" in said and not self._is_ready.done():
            self._is_ready.set_result(None)
        elif child is not None and "process" in said:
            child.process = said["process"]
            child.is_forked.set()
        elif child is not None and "code" in said and not child.ended.done():
            child.ended.set_result(said["code"])
            if child.killed_in is not None:
                child.killed_in.cancel()
                del self._children[said["number"]]

    def _lose(self) -> None:
        """The warm process is gone, or is about to be: nothing more will be heard of its children."""
        if self.is_gone:
            return
        self.is_gone = True
        asyncio.get_running_loop().remove_reader(self._control)
        _break(self._is_ready)
        for child in self._children.values():
            child.is_forked.set()
            _break(child.ended)
            if child.killed_in is not None:
                child.killed_in.cancel()

    def _see_off(self, number: int, child: _Child) -> None:
        """Nobody waits for a child that has said all: taking its memory down takes longer than reading a short file."""
        if child.ended.done():
            del self._children[number]
        else:
            child.killed_in = asyncio.get_running_loop().call_later(_END_S, child.kill)

    async def _end(self, child: _Child) -> None:
        """Kill the child and all it started, unless it is gone."""
        if child.ended.done() and not child.ended.exception():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await child.is_forked.wait()
        child.kill()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_END_S):
                await asyncio.shield(child.ended)


def _break(waiting: asyncio.Future[Any]) -> None:
    """Tell whoever waits that the warm process is gone."""
    if not waiting.done():
        waiting.set_exception(ConnectionResetError())
        waiting.exception()  # retrieved here, so that it is no complaint when nobody waits


class _ReadEnd:
    """The end of a pipe that is read from.

    Not one of the loop's transports: uvloop closes their descriptors a turn after it was told to, by number, and by then the
    number may be another file's.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    async def read(self, most: int, /) -> bytes:
        """Up to so many bytes, as soon as there are some; none at the end."""
        loop = asyncio.get_running_loop()
        is_readable = asyncio.Event()
        loop.add_reader(self._descriptor, is_readable.set)
        try:
            while True:
                await is_readable.wait()
                is_readable.clear()
                with suppress(BlockingIOError):
                    return os.read(self._descriptor, most)
        finally:
            loop.remove_reader(self._descriptor)


@contextmanager
def _pipe() -> Iterator[tuple[_ReadEnd, BinaryIO]]:
    """A pipe: an end to read from, and the end that is given away."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0), os.fdopen(write_end, "wb", buffering=0) as sink:
        yield _ReadEnd(read_end), sink
