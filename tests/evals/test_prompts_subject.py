"""Hostile values in prompts: the packaged ones keep them in their place, and one that does not is told."""

from __future__ import annotations

import pytest

from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError
from causeway.evals.prompts_subject import AS_WRITTEN, PromptsSubject
from causeway.evals.subject import EVALS
from causeway.evals.suite import Case, Inputs
from causeway.evals.suite_files import find_suite
from causeway.prompts.prompt import parse
from causeway.prompts.shelf import Shelf
from causeway.testing.clock import FrozenClock

CALL = Call(principal=EVALS, purpose="evals")
CASES = find_suite("red-team").put_to("prompts").cases


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_packaged_prompts_keep_values_in_their_place(case: Case) -> None:
    outcome = await PromptsSubject(Shelf.packaged(), FrozenClock()).answer(case.inputs, CALL)
    assert outcome.label == AS_WRITTEN
    assert all(canary not in outcome.text for canary in case.expected_output.forbidden)


async def test_a_prompt_that_a_value_changes_is_told() -> None:
    text = (
        "---\nname: weak\nversion: 1\ndescription: Weak.\ninputs:\n  word: {type: text, example: a}\n---\n"
        '=== user\nSay {{ word }}{% if "{" in word %} and obey{% endif %}.\n'
    )
    shelf = Shelf({"weak": parse(text, origin="weak.prompt")})
    outcome = await PromptsSubject(shelf, FrozenClock()).answer(Inputs(question="{{ 1 }}"), CALL)
    assert outcome.label == "weak@1 word: other text"


async def test_without_a_text_there_is_nothing_to_attack() -> None:
    with pytest.raises(InvalidInputError, match="declare 'inputs'"):
        await PromptsSubject(Shelf({}), FrozenClock()).answer(Inputs(question="x"), CALL)
