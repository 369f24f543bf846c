from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from causeway.evals.evals import Evals
from causeway.evals.run_store import RunStore
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.testing.clock import FrozenClock
from tests.evals.scripted import ScriptedDoor


@pytest.fixture
def store(database: Database) -> RunStore:
    return RunStore(database)


@pytest.fixture
async def durable(database: Database) -> AsyncIterator[Durable]:
    """Takes work and does none: tests call `Evals.execute`."""
    queue = Durable(database.url, executor_id="exe_test")
    yield queue
    await queue.close()


@pytest.fixture
def door() -> ScriptedDoor:
    return ScriptedDoor()


@pytest.fixture
def evals(store: RunStore, durable: Durable, door: ScriptedDoor, clock: FrozenClock) -> Evals:
    return Evals(store, durable, subjects=door, personal_data=lambda _text: [], clock=clock)
