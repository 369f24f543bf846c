from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
import tokenizers

from causeway.errors import BusyError, ModelUnavailableError
from causeway.models.batching import Batcher
from causeway.models.onnx_model import Floats


class Tokens:
    """As much of an encoding as the batcher looks at: its length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


class Recorder:
    """Computes a sequence's length, and remembers the batches; can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_let_go = threading.Event()
        self.is_let_go.set()
        self.has_begun = threading.Event()

    def __call__(self, encodings: Sequence[tokenizers.Encoding]) -> Floats:
        self.batches.append([len(encoding) for encoding in encodings])
        self.has_begun.set()
        assert self.is_let_go.wait(20)
        return np.array([[len(encoding)] for encoding in encodings], np.float32)


def sequences(*lengths: int) -> list[tokenizers.Encoding]:
    return cast("list[tokenizers.Encoding]", [Tokens(length) for length in lengths])


async def test_rows_come_back_in_the_order_of_the_call() -> None:
    compute = Recorder()
    batcher = Batcher(compute, budget_tokens=100, name="test")
    lengths = [30, 5, 90, 31, 6, 200, 1]
    assert (await batcher.run(sequences(*lengths))).ravel().tolist() == lengths
    assert all(len(batch) * max(batch) <= 100 or len(batch) == 1 for batch in compute.batches)
    await batcher.close()


async def test_nothing_to_compute_computes_nothing() -> None:
    compute = Recorder()
    batcher = Batcher(compute, budget_tokens=100, name="test")
    assert len(await batcher.run([])) == 0
    await batcher.close()
    assert compute.batches == []


async def test_calls_that_wait_share_batches_of_like_lengths() -> None:
    compute = Recorder()
    batcher = Batcher(compute, budget_tokens=60, name="test")
    compute.is_let_go.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(batcher.run(sequences(1)))
        await asyncio.to_thread(compute.has_begun.wait, 20)
        calls = [group.create_task(batcher.run(sequences(10, 30))) for _ in range(4)]
        await asyncio.sleep(0)  # they are in the queue
        compute.is_let_go.set()
    assert [call.result().ravel().tolist() for call in calls] == [[10, 30]] * 4
    assert sorted(compute.batches[1:]) == [[10, 10, 10, 10], [30, 30], [30, 30]]
    await batcher.close()


async def test_a_failure_reaches_those_who_wait_and_the_next_call_works() -> None:
    def fail_once(encodings: Sequence[tokenizers.Encoding]) -> Floats:
        if len(encodings[0]) == 13:
            raise ValueError(f"{len(encodings[0])} is unlucky")
        return np.ones((len(encodings), 1), np.float32)

    batcher = Batcher(fail_once, budget_tokens=100, name="test")
    with pytest.raises(ValueError, match="13 is unlucky"):
        await batcher.run(sequences(13))
    assert len(await batcher.run(sequences(1))) == 1
    await batcher.close()


async def test_a_cancelled_call_is_not_computed() -> None:
    compute = Recorder()
    compute.is_let_go.clear()
    batcher = Batcher(compute, budget_tokens=100, name="test")
    async with asyncio.TaskGroup() as group:
        group.create_task(batcher.run(sequences(1)))
        await asyncio.to_thread(compute.has_begun.wait, 20)
        cancelled = group.create_task(batcher.run(sequences(50, 50)))
        await asyncio.sleep(0)
        cancelled.cancel()
        group.create_task(batcher.run(sequences(90)))
        await asyncio.sleep(0)
        compute.is_let_go.set()
    assert compute.batches == [[1], [90]]
    await batcher.close()


async def test_too_many_that_wait_are_refused() -> None:
    batcher = Batcher(Recorder(), budget_tokens=100, name="test")
    with pytest.raises(BusyError, match="try again later"):
        await batcher.run(sequences(*[1] * 20_001))
    await batcher.close()


async def test_closing_fails_those_who_wait_and_those_who_come() -> None:
    compute = Recorder()
    compute.is_let_go.clear()
    batcher = Batcher(compute, budget_tokens=10, name="test")
    calls = [asyncio.ensure_future(batcher.run(sequences(10))) for _ in range(2)]
    await asyncio.to_thread(compute.has_begun.wait, 20)
    closing = asyncio.ensure_future(batcher.close())
    await asyncio.sleep(0)
    compute.is_let_go.set()
    await closing
    assert len(await calls[0]) == 1
    with pytest.raises(ModelUnavailableError, match="shut down"):
        await calls[1]
    with pytest.raises(ModelUnavailableError, match="shut down"):
        await batcher.run(sequences(1))


async def test_lanes_share_what_waits_and_compute_side_by_side() -> None:
    both = threading.Barrier(2)
    batches: list[int] = []

    def compute(encodings: Sequence[tokenizers.Encoding]) -> Floats:
        both.wait(20)  # broken, and the call fails, unless two lanes compute at the same time
        batches.append(len(encodings))
        return np.array([[len(encoding)] for encoding in encodings], np.float32)

    batcher = Batcher(compute, budget_tokens=1000, name="test", lanes=2)
    lengths = [7, 3]
    assert (await batcher.run(sequences(*lengths))).ravel().tolist() == lengths
    assert batches == [1, 1]
    await batcher.close()


async def test_rows_of_many_calls_in_many_lanes_find_their_callers() -> None:
    batcher = Batcher(Recorder(), budget_tokens=40, name="test", lanes=4)
    rng = random.Random(5)
    calls = [[rng.randint(1, 30) for _ in range(25)] for _ in range(40)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(batcher.run(sequences(*lengths))) for lengths in calls]
    assert [task.result().ravel().tolist() for task in tasks] == calls
    await batcher.close()
