from __future__ import annotations

from collections.abc import Mapping

import pytest

from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError, ModelUnavailableError, NotFoundError
from causeway.evals.checks import Aspect
from causeway.evals.improve import Edit, Improver, read_edits
from causeway.evals.outcome import Outcome
from causeway.evals.subject import Subject
from causeway.evals.suite import Inputs, Suite
from causeway.prompts.prompt import Prompt, as_file, parse
from causeway.prompts.shelf import Shelf
from causeway.testing.gateway import FakeGateway

TEXT = "---\nname: greet\nversion: 3\ndescription: Greets.\n---\n=== system\nBe kind to {{ who }}.\n\n=== user\n{{ question }}\n"
PROMPT = parse(TEXT, origin="greet.prompt")


class Reader:
    """Answers rightly as far as its prompt lets it: ``knows(words of the prompt, number of the question)``."""

    name = "prompt:greet"
    aspects: tuple[Aspect, ...] = ("text",)
    is_exact = False

    def __init__(self, prompt: Prompt, door: Door) -> None:
        self._prompt = prompt
        self._door = door

    async def identity(self) -> Mapping[str, object]:
        return {"prompt_sha256": self._prompt.sha256}

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        number = int(inputs.question.removeprefix("q"))
        words = self._prompt.sections[0][1]
        self._door.asked.append((words, number))
        if "Break" in words and number % 9 == 0:
            raise ModelUnavailableError(f"gone at {number}")
        is_known = number % 2 == 0 or "Exactly" in words or ("Crammed" in words and number < 20)
        return Outcome(text="1" if is_known else "2")


class Door:
    """Hands out readers, and remembers what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def with_prompt(self, prompt: Prompt) -> Subject:
        return Reader(prompt, self)


def _suite(*, is_split: bool = True) -> Suite:
    cases = [
        {
            "name": f"q{n:02}",
            "inputs": {"question": f"q{n}"},
            "expected_output": {"facts": ["1"]},
            "metadata": {"page": f"page {n}", "split": "held-out" if n >= 20 and is_split else "development"},
        }
        for n in range(40)
    ]
    return Suite.model_validate({"name": "small", "cases": cases})


def _improver(door: Door, *replies: str) -> Improver:
    return Improver(
        door,
        gateway=FakeGateway(replies=replies or ("x",)),
        prompts=Shelf({"greet": PROMPT}),
        personal_data=lambda _text: [],
    )


async def test_an_edit_that_wins_on_the_other_half_is_promoted() -> None:
    door = Door()
    found = await _improver(door).improve(
        "greet", _suite(), edits=[Edit("more", "Be longer."), Edit("exact", "Exactly so.")]
    )
    assert [(trial.candidate.name, trial.passed) for trial in found.trials] == [("exact", 1.0), ("more", 0.5)]
    assert found.is_won
    assert found.best is not None
    written = parse(as_file(found.best.prompt), origin="greet.prompt")
    assert (written.version, written.sections) == (4, found.best.prompt.sections)
    assert written.sha256 == found.best.prompt.sha256


async def test_what_was_learned_by_heart_is_not_promoted() -> None:
    found = await _improver(Door()).improve("greet", _suite(), edits=[Edit("crammed", "Crammed.")])
    assert found.trials[0].passed == 1.0
    assert found.best is not None
    assert not found.is_won


async def test_only_the_best_ever_sees_the_held_out_half() -> None:
    door = Door()
    await _improver(door).improve(
        "greet", _suite(), edits=[Edit("more", "Longer."), Edit("exact", "Exactly.")]
    )
    held_out = {words for words, number in door.asked if number >= 20}
    assert len(held_out) == 2
    assert not any("Longer" in words for words in held_out)


async def test_without_a_better_one_the_held_out_half_stays_unseen() -> None:
    door = Door()
    found = await _improver(door).improve("greet", _suite(), edits=[Edit("more", "Longer.")])
    assert (found.best, found.is_won) == (None, False)
    assert all(number < 20 for _, number in door.asked)


async def test_a_candidate_that_cannot_be_answered_does_not_win() -> None:
    found = await _improver(Door()).improve("greet", _suite(), edits=[Edit("b", "Exactly. Break.")])
    assert found.ruling is not None
    assert "could not be answered" in found.ruling.reasons[0]
    assert not found.is_won


async def test_edits_that_change_nothing_are_named_and_not_tried() -> None:
    edits = [Edit("none", "x", find="not there"), Edit("a", "Longer."), Edit("b", "Longer.")]
    found = await _improver(Door()).improve("greet", _suite(), edits=edits)
    assert dict(found.dropped) == {
        "none": "'not there' is not in the prompt",
        "b": "the same text as another",
    }


async def test_a_strong_model_may_rewrite_and_must_keep_the_placeholders() -> None:
    replies = ("Exactly greet {{ who }}.", "Greet them.", "", "Exactly greet {{ who }}.")
    found = await _improver(Door(), *replies).improve("greet", _suite(), model="strong")
    assert [trial.candidate.name for trial in found.trials] == ["rewrite 1"]
    assert dict(found.dropped) == {
        "rewrite 2": "lost {{ who",
        "rewrite 3": "empty",
        "rewrite 4": "the same text as another",
    }
    assert found.is_won


async def test_what_cannot_be_tried_is_refused() -> None:
    with pytest.raises(NotFoundError):
        await _improver(Door()).improve("other", _suite(), edits=[Edit("a", "b")])
    with pytest.raises(InvalidInputError, match="nothing to try"):
        await _improver(Door()).improve("greet", _suite())
    with pytest.raises(InvalidInputError, match="held-out"):
        await _improver(Door()).improve("greet", _suite(is_split=False), edits=[Edit("a", "b")])


def test_a_list_of_edits_is_read_strictly() -> None:
    assert read_edits("- {name: a, put: b}\n- {name: c, find: d, put: ''}", origin="e.yaml")[1].find == "d"
    for wrong in ("{a: 1}", "- {name: a, text: b}", "- [", "- {name: '', put: x}"):
        with pytest.raises(InvalidInputError, match=r"e\.yaml"):
            read_edits(wrong, origin="e.yaml")
