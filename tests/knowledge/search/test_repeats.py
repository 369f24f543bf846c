from __future__ import annotations

import pytest

from causeway.knowledge.search.repeats import first_of_each

PASSAGE = (
    "A tent that was bought in one of our shops may be returned within 45 days of delivery, as long as it is dry, "
    "clean and in the bag that it came in; the money is paid back to the card that it was bought with."
)


def test_the_same_words_in_other_spaces_and_capitals_are_one() -> None:
    assert first_of_each([PASSAGE, PASSAGE.upper(), PASSAGE.replace(" ", "\n"), "Stoves are not."]) == [0, 3]


def test_a_passage_with_a_word_or_two_more_is_a_repeat() -> None:
    assert first_of_each([PASSAGE, f"Note: {PASSAGE}", PASSAGE.replace("the money", "your money")]) == [0]


@pytest.mark.parametrize(
    ("old", "new"),
    [("45 days", "60 days"), ("may be returned", "may not be returned"), ("our shops", "our shops (S-12)")],
)
def test_what_differs_in_a_number_a_code_or_a_not_is_kept(old: str, new: str) -> None:
    assert first_of_each([PASSAGE, PASSAGE.replace(old, new)]) == [0, 1]


def test_what_only_shares_a_beginning_is_kept() -> None:
    other = (
        PASSAGE[:60] + "must be registered on the website before the season in which it is used begins anew"
    )
    assert first_of_each([PASSAGE, other]) == [0, 1]


def test_short_and_empty_texts_are_told_apart() -> None:
    assert first_of_each(["", "Yes.", "No.", "yes.", ""]) == [0, 1, 2]
