from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from causeway.evals.ranking import evidence_share, ndcg, precision, recall

PATHS = st.lists(st.sampled_from("abcdef"), max_size=10)
GOLD = st.sets(st.sampled_from("abcdef"), min_size=1)


def test_known_values() -> None:
    found, gold = ["x", "a", "a", "y", "b"], {"a", "b"}
    assert recall(found, gold) == 1.0
    assert precision(found, gold) == 0.5
    ideal = 1 + 1 / math.log2(3)
    assert math.isclose(ndcg(found, gold), (1 / math.log2(3) + 1 / math.log2(5)) / ideal)


@given(PATHS, GOLD)
def test_every_measure_is_a_share(found: list[str], gold: set[str]) -> None:
    assert all(0 <= measure(found, gold) <= 1 + 1e-12 for measure in (recall, precision, ndcg))


@given(PATHS, GOLD)
def test_gold_first_is_the_best_order(found: list[str], gold: set[str]) -> None:
    best = sorted(found, key=lambda path: path not in gold)
    assert ndcg(best, gold) >= ndcg(found, gold) - 1e-12


@given(GOLD)
def test_all_gold_and_nothing_else_is_perfect(gold: set[str]) -> None:
    assert recall(sorted(gold), gold) == precision(sorted(gold), gold) == 1
    assert math.isclose(ndcg(sorted(gold), gold), 1)


def test_nothing_found_is_nothing() -> None:
    assert recall([], {"a"}) == precision([], {"a"}) == ndcg([], {"a"}) == 0


def test_evidence_is_counted_by_quotes() -> None:
    assert evidence_share(["one two three", "four"], ["two three", "five"]) == 0.5
