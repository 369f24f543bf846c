from __future__ import annotations

from causeway.knowledge.ingest.ocr_numerals import with_numerals


def column(*cells: str) -> tuple[str, ...]:
    return tuple(row[0] for row in with_numerals([("Code",), *((cell,) for cell in cells)]))[1:]


def test_a_letter_beside_a_number_as_long_is_the_digit_it_looks_like() -> None:
    assert column("i5", "20", "A") == ("15", "20", "A")
    assert column("O.5", "2.6", "2.l") == ("0.5", "2.6", "2.1")


def test_what_may_be_letters_is_left_alone() -> None:
    assert column("il", "20") == ("il", "20")  # no digit
    assert column("6 l", "9.5") == ("6 l", "9.5")  # a unit
    assert column("l5", "A", "200") == ("l5", "A", "200")  # no number as long beside it


def test_the_header_is_left_alone_and_is_no_neighbour() -> None:
    assert with_numerals([("2O26",), ("2027",)]) == (("2O26",), ("2027",))
    assert with_numerals([("2026",), ("2O27",)]) == (("2026",), ("2O27",))
