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

LOG_ODDS = st.floats(-8, 8)


def _signals(told: float, confirmed: float | None = 0.0) -> Signals:
    return Signals(told=told, confirmed=confirmed)


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


@given(LOG_ODDS, LOG_ODDS, LOG_ODDS)
def test_a_surer_model_makes_an_answer_likelier(less: float, more: float, confirmed: float) -> None:
    low, high = sorted((less, more))
    assert 0 <= probability(_signals(low, confirmed)) <= probability(_signals(high, confirmed)) <= 1
    assert probability(_signals(confirmed, low)) <= probability(_signals(confirmed, high))


@given(LOG_ODDS, LOG_ODDS)
def test_what_is_not_known_yet_may_still_turn_out_well(told: float, confirmed: float) -> None:
    assert probability(_signals(told, None)) >= probability(_signals(told, confirmed))


def test_a_plain_yes_twice_is_answered_a_plain_no_refused_at_once_and_a_yes_taken_back_refused() -> None:
    assert probability(_signals(SUREST, SUREST)) > 0.5
    assert probability(_signals(-SUREST, None)) < 0.5
    assert probability(_signals(SUREST, -SUREST)) < 0.5


def test_a_passage_that_does_not_name_what_the_question_names_is_doubted() -> None:
    named = Signals(told=1.0, confirmed=1.0)
    unnamed = Signals(told=1.0, confirmed=1.0, is_unnamed=True)
    assert probability(unnamed) < 0.5 < probability(named)
