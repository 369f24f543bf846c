from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError, ModelUnavailableError, NotFoundError
from causeway.evals.evals import Evals
from causeway.evals.outcome import Outcome
from causeway.evals.run import RunOptions, RunState
from causeway.evals.run_store import RunStore
from causeway.evals.suite import Inputs
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.testing.clock import FrozenClock
from tests.evals.scripted import ScriptedDoor, suite_of

ONE = RunOptions(concurrency=1)
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


async def test_a_run_asks_every_case_and_keeps_what_became_of_it(evals: Evals, door: ScriptedDoor) -> None:
    run = await evals.start(suite_of(3), "scripted", ONE, label="first")
    assert (run.state, run.total, run.label) == (RunState.QUEUED, 3, "first")
    await evals.execute(run.id)
    run, progress = await evals.progress(run.id)
    assert (run.state, run.problem, progress.done, progress.faults) == (RunState.DONE, None, 3, 0)
    results = await evals.results(run.id)
    assert [result.case for result in results] == ["q0", "q1", "q2"]
    assert all(score.passed for result in results for score in result.scores if score.name == "passed")


async def test_what_was_answered_is_not_asked_again(evals: Evals, door: ScriptedDoor) -> None:
    run = await evals.start(suite_of(3), "scripted", ONE)
    await evals.execute(run.id)
    await evals.store.change(run.id, state=RunState.RUNNING)  # as after a crash
    await evals.execute(run.id)
    assert set(door.subject.asked.values()) == {1}


async def test_no_more_cases_are_asked_at_the_same_time_than_wanted(evals: Evals, door: ScriptedDoor) -> None:
    at_once, most = 0, 0
    real = door.subject.answer

    async def watched(inputs: Inputs, call: Call) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return await real(inputs, call)

    door.subject.answer = watched  # type: ignore[method-assign]  # a spy
    run = await evals.start(suite_of(9), "scripted", RunOptions(concurrency=3))
    await evals.execute(run.id)
    assert most <= 3
    assert len(await evals.results(run.id)) == 9


async def test_a_case_that_cannot_be_answered_is_kept_and_never_passes(
    evals: Evals, door: ScriptedDoor
) -> None:
    door.subject.say = lambda question: (
        ModelUnavailableError("the model is gone") if question == "q1" else Outcome(text="1")
    )
    run = await evals.start(suite_of(3), "scripted", ONE)
    await evals.execute(run.id)
    run, progress = await evals.progress(run.id)
    assert (run.state, progress.faults) == (RunState.DONE, 1)
    record = await evals.record(run.id)
    assert record.cases["q1"].scores == {"no fault": 0.0, "passed": 0.0}

    door.subject.say = lambda _question: Outcome(text="1")
    resumed = await evals.resume(run.id)
    assert (resumed.state, resumed.attempt) == (RunState.QUEUED, 2)
    await evals.execute(run.id)
    assert (await evals.record(run.id)).cases["q1"].scores["passed"] == 1.0
    assert door.subject.asked == {"q0": 1, "q1": 2, "q2": 1}


async def test_a_provider_that_is_gone_stops_the_run_with_what_there_is(
    evals: Evals, door: ScriptedDoor
) -> None:
    door.subject.say = lambda question: (
        Outcome(text="1") if question in ("q0", "q1") else ModelUnavailableError("the model is gone")
    )
    run = await evals.start(suite_of(20), "scripted", ONE)
    await evals.execute(run.id)
    run, progress = await evals.progress(run.id)
    assert (run.state, progress.done, progress.faults) == (RunState.STOPPED, 7, 5)
    assert run.problem is not None
    assert "5 cases in a row could not be answered: model_unavailable: the model is gone" in run.problem


async def test_a_run_stops_at_its_limit(evals: Evals, door: ScriptedDoor) -> None:
    door.subject.say = lambda _question: Outcome(text="1", cost_micros=400_000)
    run = await evals.start(suite_of(9), "scripted", RunOptions(concurrency=1, limit_micros=1_000_000))
    await evals.execute(run.id)
    run, progress = await evals.progress(run.id)
    assert (run.state, progress.done, progress.cost_micros) == (RunState.STOPPED, 3, 1_200_000)
    assert run.problem == "its answers have cost 1.2000 dollars of 1.0000"


async def test_somebody_may_stop_it(evals: Evals, door: ScriptedDoor) -> None:
    run = await evals.start(suite_of(3), "scripted", ONE)
    await evals.stop(run.id)
    await evals.execute(run.id)
    assert not door.subject.asked
    await evals.resume(run.id)
    await evals.execute(run.id)
    assert len(door.subject.asked) == 3


async def test_resuming_what_is_under_way_changes_nothing(evals: Evals, door: ScriptedDoor) -> None:
    run = await evals.start(suite_of(1), "scripted", ONE)
    assert (await evals.resume(run.id)).attempt == 1
    await evals.execute(run.id)
    with pytest.raises(InvalidInputError, match="is done; start another"):
        await evals.resume(run.id)


async def test_a_run_that_the_queue_gave_up_is_queued_anew(evals: Evals, store: RunStore) -> None:
    run = await evals.start(suite_of(1), "scripted", ONE)
    await store.change(run.id, attempt=7, state=RunState.RUNNING)  # of which the queue knows nothing
    resumed = await evals.resume(run.id)
    assert (resumed.state, resumed.attempt) == (RunState.QUEUED, 8)


async def test_answers_of_a_subject_that_changed_meanwhile_are_not_mixed(
    evals: Evals, door: ScriptedDoor
) -> None:
    run = await evals.start(suite_of(3), "scripted", ONE)
    door.subject.settings["model"] = "b"
    await evals.execute(run.id)
    run, progress = await evals.progress(run.id)
    assert (run.state, progress.done) == (RunState.STOPPED, 0)
    assert run.problem == "model changed since it began; start another run"


async def test_a_run_of_a_subject_that_is_gone_says_so_and_can_be_looked_at(
    evals: Evals, door: ScriptedDoor
) -> None:
    run = await evals.start(suite_of(3), "scripted", ONE)
    door.subject.name = "renamed"
    await evals.execute(run.id)
    run, _ = await evals.progress(run.id)
    assert (run.state, run.problem) == (RunState.STOPPED, "nothing is called 'scripted'")
    assert (await evals.record(run.id)).cases == {}


async def test_earlier_answers_are_taken_again_only_where_nothing_changed(
    evals: Evals, door: ScriptedDoor
) -> None:
    again = RunOptions(concurrency=1, reuse=True)
    first = await evals.start(suite_of(3), "scripted", ONE)
    await evals.execute(first.id)
    second = await evals.start(suite_of(4), "scripted", again)
    await evals.execute(second.id)
    assert door.subject.asked == {"q0": 1, "q1": 1, "q2": 1, "q3": 1}
    reused = [result.outcome.reused_from for result in await evals.results(second.id)]
    assert reused == [first.id, first.id, first.id, None]
    door.subject.settings["model"] = "b"
    third = await evals.start(suite_of(3), "scripted", again)
    await evals.execute(third.id)
    assert door.subject.asked["q0"] == 2


async def test_faults_are_not_taken_again(evals: Evals, door: ScriptedDoor) -> None:
    door.subject.say = lambda _question: ModelUnavailableError("gone")
    first = await evals.start(suite_of(1), "scripted", ONE)
    await evals.execute(first.id)
    second = await evals.start(suite_of(1), "scripted", RunOptions(concurrency=1, reuse=True))
    await evals.execute(second.id)
    assert door.subject.asked["q0"] == 2


async def test_repeats_show_which_cases_change_their_mind(evals: Evals, door: ScriptedDoor) -> None:
    door.subject.say = lambda question: Outcome(
        text="1" if question != "q1" or door.subject.asked["q1"] == 2 else "2"
    )
    run = await evals.start(suite_of(3), "scripted", RunOptions(concurrency=1, repeats=2))
    await evals.execute(run.id)
    record = await evals.record(run.id)
    assert record.flaky == ("q1",)
    assert record.cases["q1"].scores["passed"] == 0.5


async def test_missing_gold_documents_are_named_before_anything_is_asked(
    evals: Evals, door: ScriptedDoor
) -> None:
    cases = [{"name": "a", "inputs": {"question": "?"}, "metadata": {"documents": ["leave.md", "pay.md"]}}]
    suite = suite_of(1, cases=cases)
    door.lacking, door.subject.aspects = ("pay.md",), ("passages",)
    with pytest.raises(InvalidInputError, match=r"1 documents .*'pay.md' \(case a\)"):
        await evals.start(suite, "scripted", ONE)
    assert await evals.store.runs() == []


async def test_unknown_subjects_and_rubrics_are_refused(evals: Evals) -> None:
    with pytest.raises(NotFoundError):
        await evals.start(suite_of(1), "other", ONE)
    with pytest.raises(NotFoundError):
        await evals.start(suite_of(1), "scripted", RunOptions(judges=("beauty",)))
    with pytest.raises(NotFoundError, match="causeway evals list"):
        await evals.progress("run_none")


async def test_only_the_first_cases_are_judged_when_so_many_are_wanted(evals: Evals) -> None:
    options = RunOptions(concurrency=1, judges=("correctness",), judged=2)
    run = await evals.start(suite_of(3), "scripted", options)
    await evals.execute(run.id)
    record = await evals.record(run.id)
    judged = [name for name, case in record.cases.items() if "judge: correctness" in case.scores]
    assert judged == ["q0", "q1"]
    assert record.informing == ("judge: correctness",)


async def test_a_judge_compares_only_answers_that_differ(evals: Evals, door: ScriptedDoor) -> None:
    texts = [
        {"q0": "same", "q1": "long one", "q2": "a", "q3": "no", "q4": "1st"},
        {"q0": "same", "q1": "short", "q2": "longer", "q3": "yes", "q4": "2nd"},
    ]
    runs = []
    for told in texts:
        door.subject.say = lambda question, told=told: Outcome(  # type: ignore[misc]  # bound now
            text=told[question], refused=question == "q3"
        )
        run = await evals.start(suite_of(5), "scripted", ONE)
        await evals.execute(run.id)
        runs.append(run.id)
    found = await evals.preferences(*runs, model="chat")
    assert (found.earlier, found.later, found.neither, found.p) == (1, 1, 1, 1.0)


async def test_what_a_run_takes_is_known_from_the_one_before(
    evals: Evals, door: ScriptedDoor, clock: FrozenClock
) -> None:
    door.subject.say = lambda _question: Outcome(text="1", took_ms=2000, cost_micros=10)
    nothing = await evals.forecast(suite_of(3), "scripted", ONE)
    assert (nothing.cases, nothing.seconds, nothing.based_on) == (3, None, None)
    run = await evals.start(suite_of(3), "scripted", ONE)
    await evals.execute(run.id)
    known = await evals.forecast(suite_of(10), "scripted", ONE)
    assert (known.cases, known.seconds, known.cost_micros, known.based_on) == (10, 20.0, 100, run.id)


async def test_how_long_the_rest_takes_is_told_from_this_attempt(
    evals: Evals, door: ScriptedDoor, clock: FrozenClock
) -> None:
    run = await evals.start(suite_of(4), "scripted", ONE)
    left: list[float | None] = []

    async def answer(inputs: Inputs, call: Call) -> Outcome:
        left.append((await evals.progress(run.id))[1].left_s)
        clock.advance(10)
        return Outcome(text="1")

    door.subject.answer = answer  # type: ignore[method-assign]  # a spy
    await evals.execute(run.id)
    assert left == [None, 30.0, 20.0, 10.0]


async def test_a_run_is_found_by_the_beginning_of_its_id(evals: Evals, store: RunStore) -> None:
    run = await evals.start(suite_of(1), "scripted", ONE)
    assert (await store.run(run.id[:10])).id == run.id
    with pytest.raises(NotFoundError):
        await store.run("run%")


@pytest.mark.timeout(120)
async def test_a_run_whose_process_is_killed_goes_on_where_it_was(
    database: Database, store: RunStore, eventually: Eventually
) -> None:
    command = [sys.executable, str(Path(__file__).with_name("kill_target.py")), database.url]
    first = await asyncio.create_subprocess_exec(*command, "start", stdout=asyncio.subprocess.PIPE)
    assert first.stdout is not None
    run_id = (await first.stdout.readline()).decode().strip()

    async def some_are_done() -> bool:
        return len(await store.answered(run_id)) >= 5

    await eventually(some_are_done)
    first.kill()
    await first.wait()
    answered = await store.answered(run_id)
    assert 5 <= len(answered) < 40
    moments = {result.case: result.at for result in await store.results(run_id)}

    second = await asyncio.create_subprocess_exec(*command, "go on")
    assert await asyncio.wait_for(second.wait(), timeout=60) == 0
    run = await store.run(run_id)
    results = await store.results(run_id)
    assert (run.state, run.attempt, len(results)) == (RunState.DONE, 1, 40)
    kept = {result.case: result.at for result in results if result.case in moments}
    assert kept == moments, "what was answered before the kill was not asked again"


async def test_the_queue_does_the_work(evals: Evals, database: Database, eventually: Eventually) -> None:
    worker = Durable(database.url, executor_id="exe_worker")
    evals.register(worker)
    await worker.launch()
    run = await evals.start(suite_of(2), "scripted", ONE)

    async def is_done() -> bool:
        return (await evals.progress(run.id))[0].state is RunState.DONE

    await eventually(is_done)
    await worker.close()
