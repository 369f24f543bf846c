from __future__ import annotations

from collections.abc import Sequence

import pytest

from causeway.knowledge.document import Place
from causeway.knowledge.page_words import PageWords
from causeway.knowledge.quotes import find_quote

LINES = (
    "The hotel limit outside the capital is now £115",
    "per night, with breakfast. Meals are paid up to the limits of the com-",
    "pany handbook. Receipts are needed for everything above £5.",
)


def page(lines: Sequence[str], *, left: float = 0.1, top: float = 0.1) -> PageWords:
    """Each word a fiftieth of the page for each letter, lines a twentieth below each other."""
    placed = []
    for row, line in enumerate(lines):
        x, y = left, top + row * 0.05
        for word in line.split():
            placed.append((word, (x, y, x + 0.008 * len(word), y + 0.02)))
            x += 0.008 * (len(word) + 1)
    return PageWords.of(placed)


def test_a_quote_is_a_rectangle_for_each_of_its_lines() -> None:
    found = find_quote(page(LINES), 3, "is now £115 per night, with breakfast")
    assert [(place.page, round(place.y0, 2)) for place in found] == [(3, 0.1), (3, 0.15)]
    assert found[0].x0 > 0.3
    assert found[1].x0 == pytest.approx(0.1)


@pytest.mark.parametrize(
    "quote",
    [
        "paid up to the limits of the company handbook",  # split by a hyphen on the page
        "Paid up to the LIMITS **of the company** handbook.",  # marked in the text
        "paid up to the limits\nof the company\nhandbook",
    ],
)
def test_marks_hyphens_and_lines_make_no_difference(quote: str) -> None:
    assert len(find_quote(page(LINES), 1, quote)) == 2


def test_what_the_page_does_not_say_is_not_found() -> None:
    assert find_quote(page(LINES), 1, "Dogs may travel with their owners at no charge at all") == ()
    assert find_quote(page(LINES), 1, "—") == ()
    assert find_quote(PageWords(()), 1, "the hotel limit") == ()


def test_a_row_of_a_table_is_found_though_the_page_has_its_cells_in_columns() -> None:
    columns = page(["Item", "Hotel per night", "Dinner out"])
    limits = page(["Limit in 2026", "£115 with breakfast", "£32 each"], left=0.6)
    found = find_quote(
        PageWords((*columns.words, *limits.words)), 1, "| Hotel per night | £115 with breakfast |"
    )
    assert {round(place.y0, 2) for place in found} == {0.15}
    assert sorted(round(place.x0, 1) for place in found) == [0.1, 0.6]


def test_a_quote_that_begins_on_the_page_before_is_marked_as_far_as_it_stands_here() -> None:
    quote = "These words stand on another page altogether and go on for a while there until the hotel limit outside the capital"
    (place,) = find_quote(page(LINES), 1, quote)
    said = "The hotel limit outside the capital"
    assert place.x0 == pytest.approx(0.1)
    assert place.x1 == pytest.approx(0.1 + 0.008 * len(said), abs=0.001)


def test_of_two_that_say_the_same_the_one_in_the_passage_is_taken() -> None:
    twice = page(["Nothing is refunded.", "Other words between them.", "Nothing is refunded."])
    (first,) = find_quote(twice, 1, "Nothing is refunded.")
    lower = Place(1, 0.1, 0.18, 0.5, 0.24)
    (second,) = find_quote(twice, 1, "Nothing is refunded.", within=[lower])
    assert (round(first.y0, 2), round(second.y0, 2)) == (0.1, 0.2)
    elsewhere = Place(1, 0.8, 0.8, 0.9, 0.9)
    assert find_quote(twice, 1, "Nothing is refunded.", within=[elsewhere]) == (first,)


def test_letters_are_alike_however_they_are_written() -> None:
    ligature = page(["The o\ufb03ce \ufb01les it under cafe\u0301"])
    assert len(find_quote(ligature, 1, "office files it under café")) == 1
