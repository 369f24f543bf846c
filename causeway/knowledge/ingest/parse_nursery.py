"""The warm process that forks one process for each file: `python -m causeway.knowledge.ingest.parse_nursery FD`.

It imports the readers once and never opens a file itself, so every child starts clean and at once. It has one thread
and loads nothing that starts another, which is what makes forking safe; `tests/knowledge/ingest/test_warm_sandbox.py`
holds it to that.

It listens on the socket it was given. A message is a request as JSON, with the two ends of pipes that the child
answers and complains to. It says two things of each child: its process id when it begins, and its exit code when it
has ended. When the socket closes, its children are killed and it ends.

While no file is read, readers stand ready (`standing_reader`): forking and touching the memory that a reader needs takes
longer than a short file. One that reads a long PDF may ask for another to read a part of it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from causeway.knowledge.ingest import standing_reader
from causeway.knowledge.ingest.helper import GIVEN, LONGEST_REQUEST_BYTES, NONE_FREE

_MOST_STANDING = 2
"""One to read the next file, and one to help it."""
_PAUSE_S = 0.01
"""Before the next reader is made: whoever waited for the last wakes meanwhile, and would stand behind it on its core."""
_COLLECTIONS = (20_000, 20, 50)
"""Looking for garbage as often as Python does by itself is a sixth of reading a long PDF, and there is next to none."""


def main(descriptor: int, languages: str) -> None:
    """Fork children for requests until the socket closes."""
    _warm(languages)
    gc.collect()
    gc.freeze()  # so that no child's garbage collector touches, and thereby copies, what all share
    gc.set_threshold(*_COLLECTIONS)
    with socket.socket(fileno=descriptor) as control:
        _Nursery(control).serve()


def _warm(languages: str) -> None:
    from causeway.knowledge.ingest import parser  # noqa: PLC0415 - this module is imported for its constants too

    parser.load_readers()
    parser.load_language_model()
    with suppress(Exception):
        parser.load_ocr(languages)
    standing_reader.rehearse()


@dataclass(slots=True)
class _Reader:
    """A child.

    Attributes:
        channel: Our end of what it hears and asks by; None when it has said all, and when another has it.
        number: Of the request that it reads for; None while it stands ready or helps.
        helper: The process that reads a part of its file.
        may_ask: Whether it may still ask for one.
    """

    process: int
    channel: socket.socket | None
    number: int | None = None
    helper: int | None = None
    may_ask: bool = True

    def hang_up(self) -> None:
        if self.channel is not None:
            self.channel.close()
            self.channel = None


class _Nursery:
    """The children, and what is said to them and of them."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._cores = len(os.sched_getaffinity(0))
        self._standing: list[_Reader] = []
        self._reading: dict[int, _Reader] = {}
        self._helping: set[int] = set()

    def serve(self) -> None:
        """Hand requests to children until the socket closes."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write)
        self._control.send(json.dumps({"ready": os.getpid()}).encode())
        while True:
            busy = [reader for reader in self._reading.values() if reader.channel is not None]
            wanted = 0 if busy else min(_MOST_STANDING, self._cores)
            heard: list[Any] = [
                self._control,
                wake_read,
                *(reader.channel for reader in busy if reader.channel),
            ]
            ready: list[object] = select.select(
                heard, [], [], _PAUSE_S if len(self._standing) < wanted else None
            )[0]
            if wake_read in ready:
                with suppress(BlockingIOError):
                    os.read(wake_read, 4096)
                self._reap()
            for reader in busy:
                if reader.channel in ready:
                    self._hear(reader)
            if self._control in ready and not self._take_request():
                break
            if not ready:  # nobody waits for anything
                self._standing.append(self._fork(is_rehearsing=True))
        for process in (*self._reading, *self._helping, *(reader.process for reader in self._standing)):
            _kill(process)

    def _take_request(self) -> bool:
        """Have a child read what is asked for; False when nobody will ask any more."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, LONGEST_REQUEST_BYTES, 2)
        except ConnectionResetError:  # its owner was killed, and had not taken all that was said
            return False
        if not message:
            return False
        reader = self._standing.pop(0) if self._standing else self._fork(is_rehearsing=False)
        if reader.channel is None:
            raise AssertionError
        with suppress(OSError):  # it was killed; its end is told like any other's
            socket.send_fds(reader.channel, [message], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        reader.number = json.loads(message)["number"]
        self._reading[reader.process] = reader
        self._say({"number": reader.number, "process": reader.process})
        return True

    def _fork(self, *, is_rehearsing: bool) -> _Reader:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = os.fork()
        if process == 0:
            standing_reader.stand_by(theirs.fileno(), is_rehearsing=is_rehearsing)
        theirs.close()
        ours.setblocking(False)
        return _Reader(process, ours)

    def _hear(self, reader: _Reader) -> None:
        """A reader asks for a helper, or has said all it has to say."""
        if reader.channel is None:
            raise AssertionError
        try:
            asked = reader.channel.recv(16)
        except OSError:
            asked = b""
        if not asked or not reader.may_ask:
            reader.hang_up()
            return
        reader.may_ask = False
        helper = self._standing.pop() if self._standing else None
        with suppress(OSError):  # it was killed meanwhile
            if helper is None or helper.channel is None:
                reader.channel.send(NONE_FREE)
            else:
                socket.send_fds(reader.channel, [GIVEN], [helper.channel.fileno()])
        if helper is not None:
            helper.hang_up()
            reader.helper = helper.process
            self._helping.add(helper.process)

    def _reap(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            self._helping.discard(process)
            self._standing = [reader for reader in self._standing if reader.process != process]
            reader = self._reading.pop(process, None)
            if reader is None:
                continue
            reader.hang_up()
            if reader.helper in self._helping:
                _kill(reader.helper)
            if reader.number is not None:
                self._say({"number": reader.number, "code": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, int]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(json.dumps(message).encode())


def _kill(process: int) -> None:
    end: Callable[[int, int], None]
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            end(process, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
