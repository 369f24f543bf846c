from __future__ import annotations

from causeway.knowledge.answer.context import choose, cut
from tests.knowledge.answer.passages import passage

HITS = (
    passage(1, "All of our tents sleep two people or more. A label costs 3.95 pounds. Returns take 45 days."),
    passage(2, "Leave is 25 days. Notice is one month."),
)


def _chosen(relevance: list[float], budget_tokens: int) -> list[tuple[str, str]]:
    passages = choose(HITS, cut(HITS), relevance, budget_tokens=budget_tokens)
    return [(passage.hit.document_id, passage.text) for passage in passages]


def test_the_most_relevant_statements_are_chosen_and_stay_in_their_order() -> None:
    assert _chosen([0.01, 0.99, 0.99, 0.01, 0.99], 28) == [
        ("doc_1", "- A label costs 3.95 pounds.\n- Returns take 45 days."),
        ("doc_2", "- Notice is one month."),
    ]


def test_without_relevance_the_best_passages_are_shown_from_their_beginning() -> None:
    assert _chosen([0.5] * 5, 26) == [
        ("doc_1", "- All of our tents sleep two people or more.\n- A label costs 3.95 pounds.")
    ]


def test_one_statement_is_always_shown() -> None:
    assert _chosen([0.01, 0.99, 0.01, 0.01, 0.01], 1) == [("doc_1", "- A label costs 3.95 pounds.")]


def test_a_heading_inside_the_passage_is_said_once() -> None:
    hits = (passage(1, "### Weir\nIt filters. It drips."),)
    (chosen,) = choose(hits, cut(hits), [0.5, 0.5], budget_tokens=100)
    assert chosen.text == "Weir:\n- It filters.\n- It drips."


def test_nothing_found_is_nothing_chosen() -> None:
    assert choose((), (), (), budget_tokens=100) == ()
