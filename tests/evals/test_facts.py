from __future__ import annotations

import pytest

from causeway.evals.facts import has_quote, plain, says, unsupported_numbers


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("You have **45 days** [1].", "45 days"),
        ("You have forty-five... no, thirty days", "30 days"),
        ("It costs GBP 1,640.00.", "£1640"),
        ("It costs 1 640 pounds", "£1,640"),
        ("up to four per cent", "4%"),
        ("by June 30th, 2026", "30 June"),
        ("by 2026-06-30", "30 June 2026"),
        ("on the 1st of September", "1 September"),
        ("1.64kg when packed", "1.64 kg"),
        ("two weeks at \N{MINUS SIGN}5 °C", "-5 °C"),
        ("£11.00 each", "£11"),
    ],
)
def test_a_fact_is_found_however_it_is_written(text: str, fact: str) -> None:
    assert says(text, fact)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("£500", "£50"),
        ("1500 pieces", "150"),
        ("£11.50", "£11"),
        ("24 days", "4 days"),
        ("30 July", "30 June"),
        ("30 June 2025", "30 June 2026"),
        ("4 days", "4%"),
        ("", "x"),
    ],
)
def test_a_fact_that_is_not_said_is_not_found(text: str, fact: str) -> None:
    assert not says(text, fact)


def test_one_way_of_saying_it_is_enough() -> None:
    assert says("He may decline it", ["declined", "decline"])
    assert not says("He may keep it", ["declined", "decline"])


def test_numbers_that_no_source_has_are_named() -> None:
    assert unsupported_numbers("It is £88, or 14% of 629 [2].", ["costs £88", "629 pieces"]) == ["14%"]


def test_a_month_that_is_none_is_left_alone() -> None:
    assert plain("2026-13-01") == "2026-13-01"


def test_tables_and_emphasis_do_not_hide_a_quote() -> None:
    assert has_quote("Hotel, per night £95", "| Hotel,  per night | **£95** |")
    assert not has_quote("Hotel £95", "| Hotel, per night | £95 |")
