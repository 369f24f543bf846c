"""Does work on a row of pages in two processes: the second half in a helper, or in one forked for it and gone when it is done.

For readers that run in a process of their own already (`sandbox`): it has one thread, and whatever goes wrong in the
second process is found out by doing its half here. Both have the limits of the first.
"""

from __future__ import annotations

import ctypes
import math
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeVar

T = TypeVar("T")

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_FIRST_SHARE = 0.53
"""The second process begins later, and what it made has to be handed over."""


def halves(count: int) -> tuple[range, range]:
    """The numbers from 0 up to ``count``, in two."""
    middle = max(math.ceil(count / 2), round(_FIRST_SHARE * count))
    return range(middle), range(middle, count)


def in_two(count: int, work: Callable[[range], list[T]]) -> list[T]:
    """What ``work`` makes of the numbers from 0 up to ``count``, in their order; it is called with a half of them in each process."""
    _, second = halves(count)
    read_end, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read_end)
        _work_apart(write_end, lambda: work(second))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answers:
        try:
            return with_help(count, work, answers)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)  # it has answered, or nobody wants its answer any more
            os.waitpid(process, 0)


def with_help(count: int, work: Callable[[range], list[T]], answers: BinaryIO) -> list[T]:
    """As `in_two`, where another process has begun with the second half, and ``answers`` is what it says of it, pickled."""
    first, second = halves(count)
    made = work(first)
    helped: list[T] | None = _answer(answers)
    return made + (work(second) if helped is None else helped)


def _work_apart(write_end: int, work: Callable[[], object]) -> None:
    """Write what ``work`` makes and end the process; never returns."""
    try:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        with os.fdopen(write_end, "wb") as answers:
            pickle.dump(work(), answers, pickle.HIGHEST_PROTOCOL)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may get back into the first process's course
        os._exit(1)


def _answer(answers: BinaryIO) -> list[T] | None:
    """What the second process made; None when it died or was cut short. Its words are this program's own, from the same file."""
    try:
        made: list[T] = pickle.load(answers)  # noqa: S301
    except Exception:  # noqa: BLE001 - a half of a pickle fails in many ways, and all mean one thing
        return None
    return made
