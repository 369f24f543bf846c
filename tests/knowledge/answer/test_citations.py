from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from causeway.knowledge.answer.citations import CitedText
from causeway.knowledge.answer.events import Cited, TextDelta
from tests.knowledge.answer.passages import passage

RETURNS = passage(1, "You have 45 days from delivery to return an item. A label costs 3.95 pounds.")
LEAVE = passage(2, "A full-time colleague has 25 days of annual leave plus eight public holidays.")
PASSAGES = (RETURNS, LEAVE)


async def _checked(text: str, *, cuts: Sequence[int] = (), **how: Any) -> CitedText:
    """``text``, checked, having arrived in pieces that end at ``cuts``."""
    cited = CitedText(how.pop("passages", PASSAGES), how.pop("question", "How many days?"), **how)
    events: list[TextDelta | Cited] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        events += [event async for event in cited.feed(text[start:end])]
    events += [event async for event in cited.finish()]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == cited.text
    assert [event for event in events if isinstance(event, Cited)] == cited.citations
    return cited


def _write(text: str, question: str = "How many days?") -> CitedText:
    return asyncio.run(_checked(text, question=question))


def test_a_right_mark_stays() -> None:
    cited = _write("You have 45 days to return an item [1].")
    assert cited.text == "You have 45 days to return an item [1]."
    assert [c.n for c in cited.citations] == [1]
    assert cited.citations[0].quote == "You have 45 days from delivery to return an item."


def test_a_mark_after_the_full_stop_is_put_before_it() -> None:
    assert _write("You have 45 days to return an item. [1]").text == "You have 45 days to return an item [1]."


def test_a_wrong_mark_moves_to_the_passage_that_supports_the_sentence() -> None:
    assert _write("You have 45 days to return an item [2].").text == "You have 45 days to return an item [1]."


def test_a_sentence_that_no_passage_supports_is_left_out() -> None:
    cited = _write("The moon is made of green cheese [2]. You have 45 days to return an item.")
    assert cited.text == "You have 45 days to return an item [1]."
    assert (cited.left_out, cited.sentences[0].evidence) == (1, {})


def test_a_mark_beyond_the_passages_is_dropped() -> None:
    assert _write("You have 45 days to return an item [7].").text == "You have 45 days to return an item [1]."


def test_words_that_only_lead_to_a_list_claim_nothing() -> None:
    assert _write("There are several periods to remember:\n- 45 days to return an item [1].").text == (
        "There are several periods to remember:\n- 45 days to return an item [1]."
    )


@pytest.mark.parametrize(("is_stated", "shown"), [(True, "Retouren: 45 Tage ab Lieferung [1]."), (False, "")])
async def test_what_words_cannot_tell_whoever_asked_may_decide(is_stated: bool, shown: str) -> None:
    asked: list[tuple[str, int]] = []

    async def states(sentence: str, n: int) -> bool:
        asked.append((sentence, n))
        return is_stated

    cited = await _checked("Retouren: 45 Tage ab Lieferung [1].", verify=states)
    assert (cited.text, asked) == (shown, [("Retouren: 45 Tage ab Lieferung", 1)])


async def test_what_a_passage_contradicts_is_nobodys_to_decide() -> None:
    async def states(sentence: str, n: int) -> bool:
        raise AssertionError(sentence)

    assert (await _checked("Retouren: 60 Tage ab Lieferung [1].", verify=states)).text == ""


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
    cited = asyncio.run(_checked(text, cuts=cuts))
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
    cited = asyncio.run(
        _checked("E-4017 means not paired. ", passages=(table,), question="What does E-4017 mean?")
    )
    assert cited.citations[0].quote == "| E-4017 | Not paired |"


def test_a_sentence_that_joins_two_passages_cites_both() -> None:
    cited = _write("An item can be returned for 45 days, and annual leave is 25 days.")
    assert cited.text == "An item can be returned for 45 days, and annual leave is 25 days [1] [2]."
    (sentence,) = cited.sentences
    assert {n: [one.text for one in ones] for n, ones in sentence.evidence.items()} == {
        1: ["You have 45 days from delivery to return an item."],
        2: ["A full-time colleague has 25 days of annual leave plus eight public holidays."],
    }
