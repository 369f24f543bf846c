from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from causeway.knowledge.answer.statements import statements


def _texts(passage: str) -> list[str]:
    return [statement.text for statement in statements(passage)]


def test_sentences_are_statements_and_abbreviations_do_not_end_them() -> None:
    assert _texts("Ring Priya (ext. 220). A label costs 3.95 pounds. Then post it!") == [
        "Ring Priya (ext. 220).",
        "A label costs 3.95 pounds.",
        "Then post it!",
    ]


def test_a_table_row_says_its_header_and_keeps_its_own_words() -> None:
    (row,) = statements("| | Brook | Weir |\n|---|---|---|\n| Retail price | £42 | £89 |")
    assert row.text == "Retail price; Brook: £42; Weir: £89"
    assert row.quote == "| Retail price | £42 | £89 |"


def test_empty_cells_are_left_out() -> None:
    assert _texts("| SKU | Price | Note |\n| --- | --- | --- |\n| FS-1 | 36 |  |") == ["SKU: FS-1; Price: 36"]


def test_a_list_item_with_its_second_line_is_one_statement() -> None:
    assert _texts("You may bring:\n- a tent,\n  packed dry\n- boots\n2. Sign the slip.") == [
        "You may bring:",
        "a tent, packed dry",
        "boots",
        "Sign the slip.",
    ]


def test_statements_know_the_heading_above_them() -> None:
    found = statements("Before.\n\n### S-101 Halden\nIngrid Halden.\n\nLast visit: 2025.")
    assert [(one.above, one.text) for one in found] == [
        ("", "Before."),
        ("S-101 Halden", "Ingrid Halden."),
        ("S-101 Halden", "Last visit: 2025."),
    ]
    assert found[1].words == "S-101 Halden: Ingrid Halden."


@given(st.lists(st.text("ab .!|-#\n", max_size=40), max_size=6).map("\n\n".join))
def test_no_word_of_running_text_is_lost(text: str) -> None:
    if "|" in text or "#" in text:
        return
    said = " ".join(statement.quote for statement in statements(text))
    letters = [sign for sign in text if sign in "ab"]
    assert [sign for sign in said if sign in "ab"] == letters
