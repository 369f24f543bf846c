from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.vectors import Vectors
from causeway.knowledge.search.neighbours import CONSIDERED, SHARE, promoted


def at(degrees: float, dimensions: int = 2) -> Vectors:
    vector = np.zeros(dimensions, dtype=np.float32)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


def test_a_chunk_comes_forward_when_its_neighbours_match_better() -> None:
    scores = {"good": 0.9, "also good": 0.8, "near them": 0.3, "alone": 0.4}
    vectors = {"good": at(0), "also good": at(2), "near them": at(4), "alone": at(90)}
    raised = promoted(scores, vectors)
    assert raised["near them"] > raised["alone"] == scores["alone"]
    assert (1 - SHARE) * 0.3 + SHARE * 0.8 < raised["near them"] < (1 - SHARE) * 0.3 + SHARE * 0.9


def test_the_best_stays_the_best_and_nothing_sinks() -> None:
    scores = {"lone answer": 0.9, "crowd 1": 0.5, "crowd 2": 0.5, "crowd 3": 0.5, "crowd 4": 0.5}
    vectors = {name: at(90 if name == "lone answer" else index) for index, name in enumerate(scores)}
    raised = promoted(scores, vectors)
    assert max(raised, key=lambda name: raised[name]) == "lone answer"
    assert raised["lone answer"] == pytest.approx(0.9)


def test_one_chunk_and_chunks_without_vectors_keep_their_scores() -> None:
    assert promoted({}, {}) == {}
    assert promoted({"a": 0.4}, {"a": at(0)}) == {"a": 0.4}
    assert promoted({"a": 0.4, "b": 0.9}, {"a": at(0)}) == {"a": 0.4, "b": 0.9}


def test_vectors_of_two_models_are_not_compared() -> None:
    scores = {"a": 0.9, "b": 0.2}
    assert promoted(scores, {"a": at(0, 2), "b": at(0, 3)}) == scores


def test_behind_the_best_neighbours_among_all_decide_and_nothing_passes_the_best() -> None:
    first = {f"first {n:02}": 0.9 - n / 1000 for n in range(CONSIDERED)}
    scores = {**first, "alone": 0.5, "near the first": 0.4}
    vectors = {name: at(n / 10) for n, name in enumerate(first)} | {"alone": at(120), "near the first": at(5)}
    without = promoted(scores, {name: vectors[name] for name in first})
    raised = promoted(scores, vectors)
    assert {name: raised[name] for name in first} == {name: without[name] for name in first}
    assert min(raised[name] for name in first) >= raised["near the first"] > raised["alone"]


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3),
        st.tuples(st.floats(0, 1), st.floats(0, 360)),
        min_size=1,
        max_size=80,
    )
)
def test_promotion_never_lowers_a_score_nor_passes_the_best(found: dict[str, tuple[float, float]]) -> None:
    scores = {name: score for name, (score, _) in found.items()}
    raised = promoted(scores, {name: at(angle) for name, (_, angle) in found.items()})
    best = sorted(scores, key=lambda name: (-scores[name], name))[:CONSIDERED]
    assert raised.keys() == scores.keys()
    assert all(raised[name] >= scores[name] for name in best)
    assert max(raised.values()) <= max(scores.values()) + 1e-12
