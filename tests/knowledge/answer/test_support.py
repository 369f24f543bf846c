from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.knowledge.answer.support import is_of_another, names, proper_names, support

ROWS = (
    "SKU: FS-WF-040; Product: Weir gravity filter; Retail GBP: 89; Carton: 10",
    "SKU: FS-WF-041; Product: Cartridge for Weir; Retail GBP: 39; Carton: 40",
)


def share(sentence: str, *statements: str, heading: str = "", given: str = "") -> float:
    return support(sentence, heading, statements, given=given).share


def test_words_count_by_their_stem_and_numbers_by_their_value() -> None:
    assert share("Items returned within ten days", "Return an item within 10 days") == 1.0
    assert share("Eight holidays", "plus 8 holiday allowances") == 1.0
    assert share("1,500 pounds", "It costs 1500 pounds") == 1.0


def test_a_code_must_be_there_whole() -> None:
    assert share("Code E-4017 means a timeout", "Code E-4018 means a timeout") == 0.0


def test_a_number_that_only_the_question_has_is_no_fault() -> None:
    said = "Order 88123 can be returned"
    assert share(said, "Orders can be returned") == 0.0
    assert share(said, "Orders can be returned", given="What about order 88123?") == pytest.approx(
        1.25 / 1.75
    )


def test_words_of_the_question_weigh_little() -> None:
    question = "How long does footage from the lenses on the ceiling stay on file?"
    said = "Footage from the lenses on the ceiling stays on file for 30 days"
    assert share(said, "Pictures are kept for 30 days") < 0.4
    assert share(said, "Pictures are kept for 30 days", given=question) > 0.6
    assert share("The lenses stay on the ceiling", "Pictures are kept for 30 days", given=question) == 0.0


@pytest.mark.parametrize(("price", "is_supported"), [("39", True), ("89", False)])
def test_a_number_of_another_articles_row_is_no_support(price: str, is_supported: bool) -> None:
    found = support(f"The retail price of FS-WF-041 is {price}", "Price list", ROWS, given="FS-WF-041?")
    assert (found.share > 0) is is_supported
    assert found.statements == ((1,) if is_supported else ())


def test_a_number_of_another_model_is_no_support() -> None:
    weights = ("Larkrise 1 weighs 1.22 kg", "Larkrise 2 weighs 1.64 kg")
    assert share("The Larkrise 2 weighs 1.64 kg", *weights) == 1.0
    assert share("The Larkrise 2 weighs 1.22 kg", *weights) == 0.0


def test_a_row_about_several_articles_supports_each() -> None:
    assert (
        share("FS-WF-041 costs 39", "Cartridge; Brook: FS-WF-011, costs 24; Weir: FS-WF-041, costs 39") == 1.0
    )


def test_the_heading_supports_what_its_statements_leave_out() -> None:
    assert share("The Weir costs 89 pounds", "Costs: 89 pounds") < 1.0
    assert share("The Weir costs 89 pounds", "Costs: 89 pounds", heading="Water filters > Weir") == 1.0


def test_only_a_few_statements_support_one_sentence() -> None:
    words = ["alder", "birch", "cedar", "elm", "fir", "hazel"]
    assert share(" ".join(words), *words) == pytest.approx(4 / 6)


def test_names_are_codes_and_what_is_called_by_a_number() -> None:
    assert names("Does the Nightjar 1200 fit FS-PK-065 since 20 January 2026, or in March 14?") == {
        "nightjar 1200",
        "fs-pk-065",
    }
    assert names("In 12 months the Larkrise, 1.64 kg, has 30 days and £89") == frozenset()
    assert names("at till 3") == frozenset()
    assert names("at till 3", in_any_case=True) == {"till 3"}


def test_another_of_the_same_kind_is_told_from_the_same_and_from_anything_else() -> None:
    asked = names("Does the Nightjar 1200 fit?")
    assert is_of_another(asked, names("The Nightjar 900"))
    assert not is_of_another(asked, names("The Nightjar 900 and the Nightjar 1200"))
    assert not is_of_another(asked, names("The Larkrise 2"))


def test_proper_names_are_capital_words_inside_a_sentence() -> None:
    assert proper_names("What does Marit Aldous earn? Every Monday in May? A Larkrise: Yes.") == {
        "marit",
        "aldous",
        "larkrise",
    }


@given(st.text(max_size=80), st.lists(st.text(max_size=60), max_size=5), st.text(max_size=20))
def test_a_share_is_between_none_and_all(sentence: str, statements: list[str], heading: str) -> None:
    found = support(sentence, heading, statements)
    assert 0.0 <= found.share <= 1.0
    assert set(found.statements) <= set(range(len(statements)))
