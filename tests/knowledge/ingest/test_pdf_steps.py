"""What the reader of PDFs does in fewer steps gives what the longer way does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.knowledge.ingest.pdf_layout import Line, _usual
from causeway.knowledge.ingest.pdf_letters import Letters
from causeway.knowledge.ingest.pdf_shapes import Box, Word, has_plain_letters, rounded
from causeway.knowledge.ingest.pdf_tables import _slot
from causeway.knowledge.ingest.pdf_words import _lines
from causeway.knowledge.ingest.pdfium_calls import Room

BOX = Box(0.0, 0.0, 10.0, 10.0)


def _word(text: str, size: float = 10.0, baseline: float = 100.0) -> Word:
    return Word(text, BOX, baseline, size, is_bold=False, run=1)


@given(st.floats(-2000, 2000) | st.integers(-20_000, 20_000).map(lambda number: number / 16))
def test_rounding_is_as_pythons(value: float) -> None:
    assert rounded(value, 10.0) == round(value, 1)
    assert rounded(value, 1000.0) == round(value, 3)


@given(st.text(alphabet="ab \r\n\ufffe\x02\u2013"))
def test_lines_are_those_that_a_pattern_finds(text: str) -> None:
    found = re.finditer("[\ufffe\x02]|[^\r\n\ufffe\x02]+", text)
    assert _lines(text) == [(line[0], line.start()) for line in found]


@given(st.lists(st.floats(0, 100), min_size=2, max_size=40), st.floats(-10, 110))
def test_a_cell_is_where_its_edges_are(places: list[float], value: float) -> None:
    places.sort()
    slot = _slot(places, value)
    assert 0 <= slot <= len(places) - 2
    assert slot == 0 or places[slot] <= value
    assert slot == len(places) - 2 or value < places[slot + 1]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(60, 63)), min_size=1))
def test_a_lines_size_is_that_of_most_letters(words: list[tuple[int, int]]) -> None:
    size, baseline = _usual([_word("a" * length, tenth / 10, float(tenth)) for length, tenth in words])
    letters = {tenth: sum(length for length, its in words if its == tenth) for _, tenth in words}
    assert letters[round(size * 10)] == max(letters.values())
    assert baseline == round(size * 10)


def test_letters_that_are_wider_than_bytes_say_are_still_summed() -> None:
    letters = Letters()
    assert letters.width("aW") is None
    letters.learn("a", 0.5)
    assert letters.width("aW") is None
    letters.learn("W", 1.2)
    assert letters.width("a W") == pytest.approx(1.7)
    assert letters.width("a \u2013") is None
    letters.learn("\u2013", 0.5)
    assert letters.width("a \u2013") == pytest.approx(1.0)


def test_text_of_other_letters_is_looked_at_letter_by_letter() -> None:
    assert not has_plain_letters([])
    assert has_plain_letters([_word("Twenty-five days"), _word("\u2013")])
    assert not has_plain_letters([_word("\ue000\ue001"), _word("ab")])


def test_lines_are_equal_when_all_is() -> None:
    line = Line("a", BOX, 100.0, 10.0, False, 1, 1000, 0.0, 10.0)
    same, other = Line(*line.fields()), Line("b", *line.fields()[1:])
    assert (line == same, hash(line) == hash(same), line == other, line == "a") == (True, True, False, False)


def test_a_room_has_a_pointer_for_every_place() -> None:
    room = Room(16, 2)
    assert (len(room.places), len(room.memory)) == (2, 32)
    room.grow(1)
    assert len(room.places) == 2
    room.grow(5)
    assert (len(room.places), len(room.memory)) == (5, 80)
