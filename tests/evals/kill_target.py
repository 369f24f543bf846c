"""A process for test_evals.py to kill: runs a suite of slow cases, or goes on with what is queued."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.contracts.model_gateway import Call
from causeway.evals.evals import Evals
from causeway.evals.outcome import Outcome
from causeway.evals.run import RunOptions, RunState
from causeway.evals.run_store import RunStore
from causeway.evals.suite import Inputs
from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database
from causeway.storage.durable import Durable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.evals.scripted import ScriptedDoor, ScriptedSubject, suite_of


class SlowSubject(ScriptedSubject):
    """Takes a moment to be killed in."""

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        await asyncio.sleep(0.05)
        return Outcome(text="1")


async def main(url: str, doing: str) -> None:
    database = await open_database(DatabaseSettings(url=SecretStr(url)), Path("unused"))
    durable = Durable(database.url, executor_id="exe_killed")
    store = RunStore(database)
    evals = Evals(
        store,
        durable,
        subjects=ScriptedDoor(subject=SlowSubject()),
        personal_data=lambda _text: [],
        clock=SystemClock(),
    )
    evals.register(durable)
    await durable.launch()
    if doing == "start":
        run = await evals.start(suite_of(40), "scripted", RunOptions(concurrency=2))
        sys.stdout.write(f"{run.id}\n")
        sys.stdout.flush()
    while any(run.state in (RunState.QUEUED, RunState.RUNNING) for run in await store.runs()):  # noqa: ASYNC110 - the queue tells nobody
        await asyncio.sleep(0.05)
    await durable.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
