from __future__ import annotations

from causeway.knowledge.answer.asked import parts
from causeway.knowledge.answer.context import cut
from causeway.knowledge.answer.evidence import Evidence, in_turn, rate, strongest
from tests.knowledge.answer.passages import passage


def _rated(question: str, *texts: str) -> tuple[Evidence, ...]:
    hits = tuple(passage(n, text) for n, text in enumerate(texts, start=1))
    candidates = cut(hits)
    return rate(parts(question)[0], hits, candidates, [0.5] * len(candidates), [0.5] * len(hits))


def test_a_value_of_the_kind_that_is_asked_for_makes_a_statement_stronger() -> None:
    price, weight = _rated("How much does the pot weigh?", "The pot costs £32. The pot has 210 g.")
    assert (price.traits.is_of_kind, weight.traits.is_of_kind) == (False, True)
    assert strongest((price, weight))[0] is weight


def test_a_value_that_the_question_has_itself_is_no_answer() -> None:
    (statement,) = _rated("How much is a rebate of £40 worth?", "A rebate of £40 is possible.")
    assert not statement.traits.is_of_kind


def test_names_and_years_of_the_question_have_to_be_there() -> None:
    same, other = _rated(
        "What did Alder sell in 2025?", "Alder sold tents in 2025. Birch sold tents in 2024."
    )
    assert (same.traits.is_named, same.traits.is_dated) == (True, True)
    assert (other.traits.is_named, other.traits.is_dated) == (False, False)


def test_another_thing_of_the_same_kind_is_known() -> None:
    (row,) = _rated("What does the Larkrise 3 weigh?", "The Larkrise 1 weighs 1.2 kg.")
    assert row.traits.is_of_another


def test_a_word_that_only_other_passages_have_speaks_against_a_statement_and_one_that_none_has_does_not() -> (
    None
):
    here, there = _rated(
        "What is the password of the network?", "The network is called Guest.", "A password has 14 letters."
    )
    assert (here.traits.is_elsewhere, there.traits.is_elsewhere) == (True, False)
    (only,) = _rated("What is the password of the network?", "The network is called Guest.")
    assert not only.traits.is_elsewhere


def test_parts_take_turns() -> None:
    first = _rated("How much does the pot weigh?", "The pot has 210 g. The pot costs £32.")
    second = _rated("How much does the pot cost?", "The pot has 210 g. The pot costs £32.")
    assert in_turn((first, second)) == (0, 1)
    assert in_turn((second, first)) == (1, 0)
