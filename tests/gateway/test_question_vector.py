from __future__ import annotations

import asyncio

import numpy as np
import pytest

from causeway.contracts.vectors import Vectors
from causeway.errors import BusyError
from causeway.gateway.question_vector import QuestionVector

BUSY = BusyError("too many texts wait")


async def test_a_question_is_embedded_once_however_many_ask() -> None:
    asked: list[str] = []

    async def embed(text: str) -> Vectors:
        asked.append(text)
        await asyncio.sleep(0)
        return np.ones(2, np.float32)

    question = QuestionVector("why?", embed)
    assert asked == []
    async with asyncio.TaskGroup() as group:
        vectors = [group.create_task(question.get()) for _ in range(3)]
    assert asked == ["why?"]
    assert all(task.result() is vectors[0].result() for task in vectors)


async def test_a_failed_embedding_fails_everybody_and_is_not_repeated() -> None:
    asked: list[str] = []

    async def embed(text: str) -> Vectors:
        asked.append(text)
        raise BUSY

    question = QuestionVector("why?", embed)
    for _ in range(2):
        with pytest.raises(BusyError):
            await question.get()
    assert asked == ["why?"]
