"""Packs token sequences from many calls into full batches of similar length, and computes them in a few threads.

Padding is wasted work: batches of 32 in order of arrival are half as fast as sorted ones
(``bench/results/embedding.md``). A batch starts from the sequence that has waited longest and takes its nearest in length
from all calls that wait, so nothing starves and several small calls fill one batch. Nothing is delayed to wait for
company: what arrives while a batch computes is what the next one is packed from.

Several lanes, each a thread that computes a batch of its own on one core, do more than one batch on all cores, where
the cores wait for each other at every layer (``bench/results/ingestion.md``). One lane answers a lone text soonest.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from causeway.errors import BusyError, ModelUnavailableError
from causeway.models.onnx_model import Floats
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
else:
    np = deferred("numpy")

_MOST_WAITING = 20_000


@dataclass(slots=True)
class _Call:
    rows: list[Floats | None]
    left: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Item:
    length: int
    encoding: tokenizers.Encoding = field(repr=False)
    call: _Call
    row: int
    is_taken: bool = False


class Batcher:
    """A few threads, and the queue in front of them.

    Args:
        compute: Sequences to one row each; called in every thread.
        budget_tokens: Most tokens in a batch, padding included; a longer sequence goes alone.
        name: The threads', for debuggers.
        lanes: How many threads.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[tokenizers.Encoding]], Floats],
        *,
        budget_tokens: int,
        name: str,
        lanes: int = 1,
    ) -> None:
        self._compute = compute
        self._budget_tokens = budget_tokens
        self._name = name
        self._lanes = lanes
        self._changed = threading.Condition()
        self._by_length: list[_Item] = []
        self._by_age: deque[_Item] = deque()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    async def run(self, encodings: Sequence[tokenizers.Encoding]) -> Floats:
        """A row for every sequence, in order.

        Raises:
            BusyError: Too many sequences wait already.
            ModelUnavailableError: The batcher is closed.
        """
        if not encodings:
            return np.zeros((0, 0), np.float32)
        loop = asyncio.get_running_loop()
        call = _Call([None] * len(encodings), len(encodings), loop, loop.create_future())
        self._add([_Item(len(encoding), encoding, call, row) for row, encoding in enumerate(encodings)])
        await call.done
        return np.stack([row for row in call.rows if row is not None])

    async def close(self) -> None:
        """Stop after the batches that are being computed; calls that wait fail."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _add(self, items: list[_Item]) -> None:
        with self._changed:
            if self._is_closed:
                raise ModelUnavailableError(f"'{self._name}' is being shut down")
            if len(self._by_length) + len(items) > _MOST_WAITING:
                raise BusyError(
                    f"{len(self._by_length)} texts wait for '{self._name}' already; try again later"
                )
            for item in items:
                bisect.insort(self._by_length, item, key=lambda waiting: waiting.length)
            self._by_age.extend(items)
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._work, name=self._name, daemon=True)
                    for _ in range(self._lanes)
                ]
                for thread in self._threads:
                    thread.start()
            self._changed.notify_all()

    # --- in the threads ---

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                rows = self._compute([item.encoding for item in batch])
            except Exception as exc:  # noqa: BLE001 - whatever it is, the callers who wait must get it
                _fail(batch, exc)
            else:
                self._deliver(batch, rows)
        _fail(self._by_length, ModelUnavailableError(f"'{self._name}' was shut down"))

    def _next_batch(self) -> list[_Item]:
        """The next sequences to compute; empty when closed."""
        with self._changed:
            while not self._is_closed:
                while self._by_age and self._by_age[0].is_taken:
                    self._by_age.popleft()
                if self._by_age:
                    batch = self._take_near(self._by_age.popleft())
                    if wanted := [item for item in batch if not item.call.done.done()]:
                        return wanted
                else:
                    self._changed.wait()
            return []

    def _take_near(self, oldest: _Item) -> list[_Item]:
        items = self._by_length
        first = bisect.bisect_left(items, oldest.length, key=lambda waiting: waiting.length)
        while items[first] is not oldest:
            first += 1
        end = first + 1
        share = -(-len(items) // self._lanes)  # what waits is split among the lanes, lest one takes it all
        while end - first < share:
            shorter = items[first - 1].length if first > 0 else None
            longer = items[end].length if end < len(items) else None
            go_down = shorter is not None and (
                longer is None or oldest.length - shorter <= longer - oldest.length
            )
            longest = items[end - 1].length if go_down else longer
            if longest is None or (end - first + 1) * longest > self._budget_tokens:
                break
            first, end = (first - 1, end) if go_down else (first, end + 1)
        batch = items[first:end]
        del items[first:end]
        for item in batch:
            item.is_taken = True
        return batch

    def _deliver(self, batch: Sequence[_Item], rows: Floats) -> None:
        with self._changed:  # another lane may have rows of the same call
            for item, row in zip(batch, rows, strict=True):
                item.call.rows[item.row] = row
                item.call.left -= 1
                if item.call.left == 0:
                    _settle(item.call, None)


def _fail(batch: Sequence[_Item], reason: Exception) -> None:
    for item in batch:
        _settle(item.call, reason)


def _settle(call: _Call, reason: Exception | None) -> None:
    def settle() -> None:
        if call.done.done():  # the caller has gone, or another of its batches failed
            return
        if reason is None:
            call.done.set_result(None)
        else:
            call.done.set_exception(reason)

    with contextlib.suppress(RuntimeError):  # its event loop has ended
        call.loop.call_soon_threadsafe(settle)
