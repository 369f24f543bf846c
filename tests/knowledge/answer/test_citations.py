from __future__ import annotations

import random

import pytest

from causeway.knowledge.answer.citations import CitedText
from causeway.knowledge.answer.events import Cited, TextDelta
from tests.knowledge.answer.passages import passage

RETURNS = passage(1, "You have 45 days from delivery to return an item. A label costs 3.95 pounds.")
LEAVE = passage(2, "A full-time colleague has 25 days of annual leave plus eight public holidays.")
PASSAGES = (RETURNS, LEAVE)


def _write(text: str, pieces: int = 1, question: str = "How many days?") -> CitedText:
    """``text`` fed in about ``pieces`` pieces."""
    cited = CitedText(PASSAGES, question)
    step = max(1, len(text) // pieces)
    events = [
        event for start in range(0, len(text), step) for event in cited.feed(text[start : start + step])
    ]
    events += cited.finish()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == cited.text
    assert [event for event in events if isinstance(event, Cited)] == cited.citations
    return cited


def test_a_right_mark_stays() -> None:
    cited = _write("You have 45 days to return an item [1].")
    assert cited.text == "You have 45 days to return an item [1]."
    assert [c.n for c in cited.citations] == [1]
    assert cited.citations[0].quote == "You have 45 days from delivery to return an item."


def test_a_mark_after_the_full_stop_is_put_before_it() -> None:
    assert _write("You have 45 days to return an item. [1]").text == "You have 45 days to return an item [1]."


def test_a_wrong_mark_moves_to_the_passage_that_supports_the_sentence() -> None:
    assert _write("You have 45 days to return an item [2].").text == "You have 45 days to return an item [1]."


def test_a_mark_that_no_passage_earns_is_dropped() -> None:
    cited = _write("The moon is made of green cheese [2].")
    assert cited.text == "The moon is made of green cheese."
    assert cited.citations == []
    assert cited.sentences[0].evidence == {}


def test_a_mark_beyond_the_passages_is_dropped() -> None:
    assert "[7]" not in _write("The moon is made of green cheese [7].").text


def test_a_forgotten_mark_is_added() -> None:
    assert _write("You have 45 days to return an item.").text == "You have 45 days to return an item [1]."


def test_a_number_the_passage_lacks_withdraws_its_support() -> None:
    assert _write("You have 60 days to return an item [1].").citations == []


def test_a_number_from_the_question_needs_no_support() -> None:
    cited = _write(
        "Within 45 days of order 88123 you can return an item [1].", question="What about order 88123?"
    )
    assert [c.n for c in cited.citations] == [1]


def test_each_sentence_has_its_own_marks() -> None:
    text = "You can return an item for 45 days. A full-time colleague has 25 days of annual leave."
    assert _write(text).text == (
        "You can return an item for 45 days [1]. A full-time colleague has 25 days of annual leave [2]."
    )


def test_brackets_that_are_no_marks_stay() -> None:
    assert _write("See [the label] for 3.95 pounds. ").text.startswith("See [the label] for 3.95 pounds")


def test_a_decimal_does_not_end_a_sentence() -> None:
    assert len(_write("A label costs 3.95 pounds.").sentences) == 1


def test_a_short_opening_is_checked_with_what_follows() -> None:
    assert (
        _write("Yes. You have 45 days to return an item.").text
        == "Yes. You have 45 days to return an item [1]."
    )


@pytest.mark.parametrize("seed", range(20))
def test_how_text_is_cut_into_pieces_changes_nothing(seed: int) -> None:
    text = (
        "You have 45 days to return an item [2]. A label costs 3.95 pounds. [1]\n"
        "- Yes: 25 days of annual leave [1, 2].\nNothing else is known [the label]. End"
    )
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, len(text)), rng.randint(1, 30)))
    cited = CitedText(PASSAGES, "How many days?")
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        list(cited.feed(text[start:end]))
    list(cited.finish())
    assert cited.text == _write(text).text


def test_a_sentence_knows_the_statements_it_rests_on() -> None:
    (sentence,) = _write("A label costs 3.95 pounds [1].").sentences
    assert {n: [one.text for one in ones] for n, ones in sentence.evidence.items()} == {
        1: ["A label costs 3.95 pounds."]
    }


def test_a_row_is_quoted_as_the_document_has_it() -> None:
    table = passage(
        1, "| Code | Meaning |\n| --- | --- |\n| E-4017 | Not paired |\n| E-4018 | Paired elsewhere |"
    )
    cited = CitedText((table,), "What does E-4017 mean?")
    list(cited.feed("E-4017 means not paired. "))
    list(cited.finish())
    assert cited.citations[0].quote == "| E-4017 | Not paired |"


def test_a_sentence_that_joins_two_passages_cites_both() -> None:
    cited = _write("An item can be returned for 45 days, and annual leave is 25 days.")
    assert cited.text == "An item can be returned for 45 days, and annual leave is 25 days [1] [2]."
    (sentence,) = cited.sentences
    assert {n: [one.text for one in ones] for n, ones in sentence.evidence.items()} == {
        1: ["You have 45 days from delivery to return an item."],
        2: ["A full-time colleague has 25 days of annual leave plus eight public holidays."],
    }
