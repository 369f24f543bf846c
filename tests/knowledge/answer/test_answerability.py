from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.knowledge.answer.answerability import (
    SUREST,
    Signals,
    likeliest,
    log_odds_of_yes,
    probability,
)
from causeway.knowledge.answer.evidence import Traits

LOG_ODDS = st.floats(-8, 8)


def _signals(told: float | None = None, **traits: float) -> Signals:
    return Signals(score=0.7, told=told, **traits)


def test_how_sure_the_model_is_comes_from_its_first_token() -> None:
    likely = {"yes": math.log(0.5), " Yes": math.log(0.1), "no": math.log(0.3), "maybe": math.log(0.1)}
    assert log_odds_of_yes("yes", likely) == pytest.approx(math.log(2), abs=1e-3)


def test_the_likeliest_first_tokens_are_read_from_openais_shape() -> None:
    told = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.5}]
    logprobs = {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": told}, {"token": "."}]}
    assert likeliest(logprobs) == {"yes": -0.1, "no": -2.5}


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": []}, {"content": [{"token": "yes"}]}, {"content": None}]
)
def test_a_provider_that_tells_nothing_leaves_them_empty(logprobs: dict[str, object] | None) -> None:
    assert likeliest(logprobs) == {}


@pytest.mark.parametrize(("said", "is_yes"), [("Yes.", True), ("no", False), ("I cannot tell", False)])
def test_without_probabilities_the_word_decides(said: str, is_yes: bool) -> None:
    assert log_odds_of_yes(said, {}) == (SUREST if is_yes else -SUREST)


def test_a_word_that_is_not_among_the_likely_ones_is_as_unlikely_as_can_be() -> None:
    assert log_odds_of_yes("no", {"no": -0.01}) == -SUREST


@given(LOG_ODDS, LOG_ODDS)
def test_a_surer_model_makes_an_answer_likelier(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert 0 <= probability(_signals(less)) <= probability(_signals(more)) <= 1


def test_a_plain_no_of_the_model_refuses_what_looks_well_and_a_plain_yes_saves_what_does_not() -> None:
    assert probability(_signals(-SUREST)) < 0.3 < probability(_signals(SUREST, is_of_kind=0.0))


@pytest.mark.parametrize(
    "worse",
    [
        {"is_of_kind": 0.0},
        {"is_named": 0.0},
        {"is_dated": 0.0},
        {"is_of_another": 1.0},
        {"is_elsewhere": 1.0},
        {"is_numbered": 0.0},
        {"stated": -1.0},
        {"taught": -1.0},
    ],
)
def test_each_rule_speaks_against_an_answer(worse: dict[str, float]) -> None:
    assert probability(_signals(**worse)) < probability(_signals())


def test_of_several_parts_the_mean_counts() -> None:
    told = Traits(relevance=0.0, score=0.8)
    missing = Traits(relevance=0.0, score=0.6, is_of_kind=False)
    both = Signals.of([told, missing])
    assert both.score == pytest.approx(0.7)
    assert both == Signals(score=both.score, is_of_kind=0.5)
