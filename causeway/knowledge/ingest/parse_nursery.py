"""The warm process that forks one process for each file: `python -m causeway.knowledge.ingest.parse_nursery FD`.

It imports the readers once and never opens a file itself, so every child starts clean and at once. It has one thread
and loads nothing that starts another, which is what makes forking safe; `tests/knowledge/ingest/test_warm_sandbox.py`
holds it to that.

It listens on the socket it was given. A message is a request as JSON, with the two ends of pipes that the child
answers and complains to. It says two things of each child: its process id when it begins, and its exit code when it
has ended. When the socket closes, its children are killed and it ends.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from causeway.knowledge.ingest import parse_child

LONGEST_REQUEST_BYTES = 65_536
_COLLECTIONS = (20_000, 20, 50)
"""Looking for garbage as often as Python does by itself is a sixth of reading a long PDF, and there is next to none."""


def main(descriptor: int, languages: str) -> None:
    """Fork a child for each request until the socket closes."""
    _warm(languages)
    gc.collect()
    gc.freeze()  # so that no child's garbage collector touches, and thereby copies, what all share
    gc.set_threshold(*_COLLECTIONS)
    with socket.socket(fileno=descriptor) as control:
        _serve(control)


def _warm(languages: str) -> None:
    from causeway.knowledge.ingest import parser  # noqa: PLC0415 - this module is imported for its constants too

    parser.load_readers()
    parser.load_language_model()
    with suppress(Exception):
        parser.load_ocr(languages)


def _serve(control: socket.socket) -> None:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    numbers: dict[int, int] = {}
    control.send(json.dumps({"ready": os.getpid()}).encode())
    while True:
        ready, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in ready:
            with suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _reap(control, numbers)
        if control.fileno() in ready:
            try:
                message, descriptors, _, _ = socket.recv_fds(control, LONGEST_REQUEST_BYTES, 2)
            except ConnectionResetError:  # its owner was killed, and had not taken all that was said
                break
            if not message:
                break
            _fork(control, message, descriptors, numbers)
    for process in numbers:
        _kill(process)


def _fork(control: socket.socket, message: bytes, descriptors: list[int], numbers: dict[int, int]) -> None:
    request = json.loads(message)
    process = os.fork()
    if process == 0:
        _become_child(control, request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    numbers[process] = request["number"]
    _say(control, {"number": request["number"], "process": process})


def _become_child(control: socket.socket, request: dict[str, object], descriptors: list[int]) -> None:
    """Read one file and end; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        control.close()
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        os.closerange(3, 256)
        parse_child.read(request)
    except BaseException:  # noqa: BLE001 - nothing may get back into the nursery's loop
        traceback.print_exc()
    finally:
        os._exit(1)


def _reap(control: socket.socket, numbers: dict[int, int]) -> None:
    while numbers:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not process:
            return
        if process in numbers:
            code = os.waitstatus_to_exitcode(status)
            _say(control, {"number": numbers.pop(process), "code": code})


def _say(control: socket.socket, message: dict[str, int]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        control.send(json.dumps(message).encode())


def _kill(process: int) -> None:
    end: Callable[[int, int], None]
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            end(process, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
