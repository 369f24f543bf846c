from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.evals.statistics import (
    clustered_mean,
    compare,
    detectable,
    flaky,
    holm,
    mcnemar,
    wilson,
)


@pytest.mark.parametrize(
    ("passed", "of", "low", "high"),
    [
        (45, 50, 0.7864, 0.9565),  # https://www.statsmodels.org, proportion_confint(45, 50, method="wilson")
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_wilson_gives_the_published_intervals(passed: int, of: int, low: float, high: float) -> None:
    found = wilson(passed, of)
    assert math.isclose(found.low, low, abs_tol=5e-5)
    assert math.isclose(found.high, high, abs_tol=5e-5)


def test_of_nothing_everything_is_possible() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@given(st.integers(1, 300).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_estimate_and_narrows_with_more(counted: tuple[int, int]) -> None:
    passed, of = counted
    one, four = wilson(passed, of), wilson(4 * passed, 4 * of)
    assert 0 <= one.low <= one.estimate <= one.high <= 1
    assert four.high - four.low < one.high - one.low


@pytest.mark.parametrize(
    ("fixed", "broken", "p"),
    [(0, 0, 1.0), (6, 0, 0.03125), (5, 0, 0.0625), (0, 6, 0.03125), (1, 9, 0.021484375), (4, 4, 1.0)],
)
def test_mcnemar_is_the_binomial_test(fixed: int, broken: int, p: float) -> None:
    assert math.isclose(mcnemar(fixed, broken), p)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_even_handed(fixed: int, broken: int) -> None:
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed) <= 1


def test_six_broken_of_fifty_are_seen_and_three_are_not() -> None:
    pages = [str(n) for n in range(50)]
    assert compare([1.0] * 50, [0.0] * 6 + [1.0] * 44, pages).p_worse < 0.05
    assert compare([1.0] * 50, [0.0] * 3 + [1.0] * 47, pages).p_worse > 0.05


def test_six_broken_of_one_page_count_as_one() -> None:
    """What one page lost, six questions of it lose together."""
    pages = ["leave.md"] * 6 + [str(n) for n in range(44)]
    assert compare([1.0] * 50, [0.0] * 6 + [1.0] * 44, pages).p_worse == 0.5


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from("abcdefgh")), min_size=1, max_size=30
    )
)
def test_two_runs_and_the_same_in_reverse_agree(cases: list[tuple[float, float, str]]) -> None:
    earlier, later, pages = (list(each) for each in zip(*cases, strict=True))
    there, back = compare(earlier, later, pages), compare(later, earlier, pages)
    assert (there.fixed, there.broken) == (back.broken, back.fixed)
    assert math.isclose(there.p_worse, back.p_better, abs_tol=1e-9)
    assert math.isclose(there.difference.estimate, -back.difference.estimate, abs_tol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_run_against_itself_differs_in_nothing(values: list[float]) -> None:
    same = compare(values, values, [str(n) for n in range(len(values))])
    assert (same.fixed, same.broken, same.p_worse, same.p_better) == (0, 0, 1.0, 1.0)


def test_a_test_at_five_percent_errs_in_five_percent() -> None:
    """400 pairs of runs in which nothing changed, a third of the questions being a coin's toss."""
    draw = random.Random(7)
    pages = [str(n // 2) for n in range(50)]
    odds = [draw.choice((0.1, 0.5, 0.95)) for _ in range(50)]
    wrong = 0
    for _ in range(400):
        one, other = ([float(draw.random() < p) for p in odds] for _ in range(2))
        wrong += compare(one, other, pages).p_worse <= 0.05
    assert wrong <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_an_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    draw = random.Random(11)
    covered = 0
    for _ in range(200):
        values = [float(draw.random() < 0.7) for _ in range(60)]
        interval = clustered_mean(values, [str(n) for n in range(60)])
        covered += interval.low <= 0.7 <= interval.high
    assert 180 <= covered <= 199


def test_questions_of_one_page_widen_the_interval() -> None:
    values = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] * 4
    alone = clustered_mean(values, [str(n) for n in range(32)])
    together = clustered_mean(values, [str(n // 4) for n in range(32)])
    assert together.high - together.low > alone.high - alone.low


def test_of_many_tests_only_what_survives_their_number_holds() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.3}) == {"a"}
    assert holm({"a": 0.01, "b": 0.02, "c": 0.04}) == {"a", "b", "c"}
    assert holm({"a": 0.04, "b": 0.04}) == set()


def test_more_questions_see_smaller_differences() -> None:
    assert detectable(50) == 0.17
    few, many = detectable(10), detectable(200)
    assert few is not None
    assert many is not None
    assert many < 0.17 < few
    assert detectable(3) is None, "three questions can never show anything at five percent"


def test_cases_that_change_their_mind_are_flaky() -> None:
    assert flaky({"a": [True, True], "b": [True, False], "c": [False]}) == ["b"]
