"""Does work on a row of pages in two processes: this one, and a helper or one that is forked for it and gone when it is done.

Each takes the next few pages when it is done with some, so that neither waits long for the other, however busy its core is.
For readers that run in a process of their own already (`sandbox`): it has one thread, and whatever goes wrong in the
second process is found out by doing its part here. Both have the limits of the first.
"""

from __future__ import annotations

import ctypes
import math
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, TypeVar

T = TypeVar("T")

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_MOST_PARTS = 48
_FEW = 8


def parts_of(count: int) -> list[range]:
    """The numbers from 0 up to ``count`` in parts, each of which one process does: what is in it does not depend on who does it."""
    size = max(1 if count < _FEW else 2, math.ceil(count / _MOST_PARTS))
    return [range(begin, min(begin + size, count)) for begin in range(0, count, size)]


def deal(parts: int) -> int:
    """Where the processes take parts from: a pipe that holds a byte for each."""
    read_end, write_end = os.pipe()
    os.write(write_end, bytes(range(parts)))
    os.close(write_end)
    return read_end


def done(count: int, work: Callable[[range], list[T]], deck: int) -> dict[int, list[T]]:
    """What ``work`` makes of the parts that this process gets from the ``deck``, by their places."""
    parts = parts_of(count)
    return {place: work(parts[place]) for place in _taken(deck)}


def in_two(count: int, work: Callable[[range], list[T]]) -> list[T]:
    """What ``work`` makes of the numbers from 0 up to ``count``, in their order; it is called part by part in both processes."""
    deck = deal(len(parts_of(count)))
    read_end, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read_end)
        _work_apart(write_end, lambda: done(count, work, deck))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answers:
        try:
            return with_help(count, work, deck, answers)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)  # it has answered, or nobody wants its answer any more
            os.waitpid(process, 0)


def with_help(count: int, work: Callable[[range], list[T]], deck: int, answers: BinaryIO) -> list[T]:
    """As `in_two`, where another process takes from the ``deck``, too, and ``answers`` is what it says it has `done`, pickled.

    The deck is closed.
    """
    try:
        made = done(count, work, deck)
    finally:
        os.close(deck)
    parts = parts_of(count)
    if len(made) < len(parts):
        made |= _answer(answers)
    return [one for place, part in enumerate(parts) for one in (made[place] if place in made else work(part))]


def _taken(deck: int) -> Iterator[int]:
    while taken := os.read(deck, 1):
        yield taken[0]


def die_with_parent() -> None:
    """Have the kernel end this process, just forked, when the one that forked it ends."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _work_apart(write_end: int, work: Callable[[], object]) -> None:
    """Write what ``work`` makes and end the process; never returns."""
    try:
        die_with_parent()
        with os.fdopen(write_end, "wb") as answers:
            pickle.dump(work(), answers, pickle.HIGHEST_PROTOCOL)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may get back into the first process's course
        os._exit(1)


def _answer(answers: BinaryIO) -> dict[int, list[T]]:
    """What the second process made; nothing when it died or was cut short. Its words are this program's own, from the same file."""
    try:
        made: dict[int, list[T]] = pickle.load(answers)  # noqa: S301
    except Exception:  # noqa: BLE001 - a half of a pickle fails in many ways, and all mean one thing
        return {}
    return made
