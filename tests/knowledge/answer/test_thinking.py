from __future__ import annotations

import random

import pytest

from causeway.knowledge.answer.thinking import Spoken, spoken

TEXT = "One. <think>Hm <b> 2 < 3</think>\nTwo <b>bold</b>.<thinking>more</thinking>Three"


@pytest.mark.parametrize("seed", range(10))
def test_thoughts_are_dropped_however_the_text_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, len(TEXT)), 12))
    aloud = Spoken()
    said = "".join(aloud.feed(TEXT[a:b]) for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True))
    assert (said + aloud.finish()).split() == ["One.", "Two", "<b>bold</b>.Three"]


def test_a_thought_without_an_end_stays_unsaid() -> None:
    aloud = Spoken()
    assert aloud.feed("Yes. <think>But what") + aloud.finish() == "Yes. "


def test_what_only_looks_like_the_beginning_of_a_thought_is_said_in_the_end() -> None:
    aloud = Spoken()
    assert aloud.feed("2 <thi") == "2 "
    assert aloud.finish() == "<thi"


def test_a_reply_that_begins_inside_a_thought_is_cut_at_its_end() -> None:
    assert spoken("Let me see.</think>\n\nHow heavy is the tent?") == "How heavy is the tent?"
