from __future__ import annotations

import math
import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from causeway.evals.calibration import SUITE, Calibrations, Confusion, calibrate
from causeway.evals.outcome import Outcome
from causeway.evals.run import Result, RunOptions, RunState
from causeway.evals.run_store import RunStore
from causeway.evals.suite import Suite
from causeway.evals.suite_files import find_suite
from causeway.prompts.shelf import Shelf
from causeway.settings import ModelSettings

AT = datetime(2026, 11, 27, tzinfo=UTC)
COUNTS = st.integers(0, 50)


def _results(suite: Suite, certainty: dict[str, float | None]) -> list[Result]:
    return [
        Result(case=name, repeat=0, outcome=Outcome(certainty=value), scores=(), at=AT)
        for name, value in certainty.items()
    ]


def test_kappa_has_the_published_value() -> None:
    """Cohen's own example in https://en.wikipedia.org/wiki/Cohen%27s_kappa: 20, 15, 5, 10."""
    found = Confusion(right_yes=20, right_no=15, wrong_yes=5, wrong_no=10, abstained=0)
    assert math.isclose(found.kappa, 0.4)
    assert found.accuracy == 0.7


def test_a_judge_that_passes_everything_agrees_in_nothing() -> None:
    assert Confusion(right_yes=25, right_no=0, wrong_yes=25, wrong_no=0, abstained=0).kappa == 0


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_kappa_is_between_minus_one_and_one(a: int, b: int, c: int, d: int) -> None:
    found = Confusion(right_yes=a, right_no=b, wrong_yes=c, wrong_no=d, abstained=0)
    assert -1 - 1e-9 <= found.kappa <= 1 + 1e-9


def test_the_packaged_set_is_large_balanced_and_half_of_it_held_out() -> None:
    suite = find_suite(SUITE)
    labels = [case.expected_output.label for case in suite.cases]
    assert len(labels) >= 80
    assert 0.4 <= labels.count("yes") / len(labels) <= 0.6
    assert {len(suite.half(half).cases) for half in ("development", "held-out")} == {42}


def test_the_threshold_comes_from_one_half_and_kappa_from_the_other() -> None:
    suite = find_suite(SUITE)
    draw = random.Random(5)
    # a judge that knows right from wrong and says yes too readily
    certainty: dict[str, float | None] = {
        case.name: (4.0 if case.expected_output.label == "yes" else 1.0) + draw.uniform(-1, 1)
        for case in suite.cases
    }
    found = calibrate(suite, _results(suite, certainty))
    assert 2.0 < found.threshold < 3.0
    assert found.held_out.kappa == found.development.kappa == 1.0
    assert found.trust.may_gate


def test_a_judge_that_guesses_may_not_gate() -> None:
    suite = find_suite(SUITE)
    draw = random.Random(6)
    found = calibrate(suite, _results(suite, {case.name: draw.uniform(-3, 3) for case in suite.cases}))
    assert found.held_out.kappa < 0.6
    assert not found.trust.may_gate


def test_abstentions_are_not_right() -> None:
    suite = find_suite(SUITE)
    found = calibrate(suite, _results(suite, {case.name: None for case in suite.cases}))
    assert (found.held_out.abstained, found.held_out.accuracy, found.held_out.kappa) == (42, 0.0, 0.0)


async def test_a_judge_is_trusted_by_its_newest_run_as_it_is_now(store: RunStore) -> None:
    calibrations = Calibrations(store, Shelf.packaged(), models=ModelSettings())
    assert (await calibrations.trust("correctness", "chat")).kappa is None
    suite = find_suite(SUITE)
    run = await store.create(
        suite,
        subject="judge:correctness:chat",
        options=RunOptions(),
        identity=calibrations.identity("correctness", "chat"),
        label=None,
        started_by="test",
    )
    for case in suite.cases:
        certainty = 3.0 if case.expected_output.label == "yes" else -3.0
        result = Result(case=case.name, repeat=0, outcome=Outcome(certainty=certainty), scores=(), at=AT)
        await store.keep(run.id, result, asked="x")
    assert (await calibrations.trust("correctness", "chat")).kappa is None, "the run is not done"
    await store.change(run.id, state=RunState.DONE)
    assert (await calibrations.trust("correctness", "chat")).may_gate
    assert (await calibrations.trust("correctness", "fast")).kappa is None
    other = Calibrations(store, Shelf.packaged(), models=ModelSettings(chat="another-model"))
    assert (await other.trust("correctness", "chat")).kappa is None, "another model is another judge"
