from __future__ import annotations

import math

import numpy as np
import pytest

from causeway.knowledge.confirmed_answers import ConfirmedAnswer
from causeway.knowledge.search.retrieval_votes import MOST, NEAR, VoteTable, raised


def _at(cosine: float) -> np.ndarray:
    """A unit vector at this cosine from ``_at(1)``."""
    return np.array([cosine, math.sqrt(1 - cosine * cosine)], np.float32)


def _vote(cosine: float, *chunk_ids: str) -> ConfirmedAnswer:
    return ConfirmedAnswer(
        trace_id=f"t{cosine}",
        question="q",
        answer=None,
        chunk_ids=chunk_ids,
        document_ids=("doc",),
        embedding_model="fake",
        vector=_at(cosine),
    )


def test_a_passage_is_moved_by_its_nearest_vote_and_no_farther_than_most() -> None:
    halfway = (1 + NEAR) / 2
    table = VoteTable.of([_vote(1.0, "same"), _vote(halfway, "near", "same"), _vote(NEAR - 0.01, "far")])
    boosts = table.boosts(_at(1.0))
    assert boosts == {"same": pytest.approx(MOST), "near": pytest.approx(MOST / 2, abs=1e-3)}


def test_many_votes_for_a_passage_count_as_the_best_of_them() -> None:
    one = VoteTable.of([_vote(0.9, "a")]).boosts(_at(1.0))
    many = VoteTable.of([_vote(0.9, "a"), _vote(0.89, "a"), _vote(0.88, "a")]).boosts(_at(1.0))
    assert many == one


def test_no_votes_and_vectors_of_another_length_move_nothing() -> None:
    assert VoteTable.of([]).boosts(_at(1.0)) == {}
    assert VoteTable.of([_vote(1.0, "a")]).boosts(np.ones(3, np.float32)) == {}


def test_a_raised_score_stays_below_1_and_others_stay() -> None:
    assert raised({"a": 0.5, "b": 0.9, "c": 0.2}, {"a": 0.2, "b": 1.0, "new": 0.9}) == {
        "a": pytest.approx(0.6),
        "b": pytest.approx(1.0),
        "c": 0.2,
    }
