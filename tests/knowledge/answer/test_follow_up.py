from __future__ import annotations

import pytest

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.errors import ModelUnavailableError
from causeway.knowledge.answer.follow_up import Exchange, Standalone, leans, standalone
from causeway.prompts.shelf import Shelf
from causeway.testing.gateway import FakeGateway

CALL = Call(principal=SYSTEM, purpose="test")
BEFORE = (
    Exchange("How many days do I have to return a tent?", "You have 45 days from delivery [1]."),
    Exchange("What does the Larkrise 2 weigh?", "The Larkrise 2 weighs 1.9 kg [1]."),
)


async def ask(
    question: str, *replies: str, before: tuple[Exchange, ...] = BEFORE
) -> tuple[Standalone, FakeGateway]:
    gateway = FakeGateway(replies=replies or ("unused",))
    found = await standalone(question, before, gateway=gateway, prompts=Shelf.packaged(), call=CALL)
    return found, gateway


@pytest.mark.parametrize(
    "question",
    [
        "and the Larkrise 3?",
        "What about boots?",
        "How long is it valid?",
        "Who approves them?",
        "Why?",
        "How much?",
        "Is there one for children?",
        "What is the price of that?",
    ],
)
def test_a_question_that_leaves_out_what_it_is_about_leans_on_what_was_said(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize(
    "question",
    [
        "How many days of annual leave does a full-time colleague have?",
        "What does error E-4017 on the card terminal mean?",
        "Which of our tents is the lightest?",
        "Who approves a purchase above 500 pounds?",
    ],
)
async def test_a_question_that_stands_alone_costs_no_call(question: str) -> None:
    found, gateway = await ask(question)
    assert (found, gateway.requests) == (Standalone(question=question), [])


async def test_without_anything_said_before_no_question_leans() -> None:
    found, gateway = await ask("And how heavy is it?", before=())
    assert (found.question, gateway.requests) == ("And how heavy is it?", [])


async def test_the_model_s_words_are_taken_when_they_were_all_said() -> None:
    found, gateway = await ask("and how heavy is the Larkrise 3?", "How heavy is the Larkrise 3?")
    assert found.question == "How heavy is the Larkrise 3?"
    assert found.usage.input_tokens > 0
    (request,) = gateway.requests
    assert "The Larkrise 2 weighs 1.9 kg" in str(request)


@pytest.mark.parametrize(
    "invented",
    [
        "How heavy is the Nightjar 900?",
        "It weighs 1.9 kg.\nHow heavy is it?",
        "",
        "What does the Larkrise weigh in winter storms?",
        "How many days do I have?",
        "What does the Larkrise 2 weigh?",
    ],
)
async def test_a_rewriting_that_makes_up_or_loses_something_is_not_taken(invented: str) -> None:
    found, _ = await ask("and the Larkrise 3?", invented)
    assert found.question == "What does the Larkrise 2 weigh? and the Larkrise 3?"


async def test_a_model_that_fails_leaves_the_question_beside_the_one_before() -> None:
    class Away(FakeGateway):
        async def complete(self, request: object, call: object) -> object:  # type: ignore[override]  # it only raises
            msg = "away"
            raise ModelUnavailableError(msg)

    found = await standalone("Why?", BEFORE, gateway=Away(), prompts=Shelf.packaged(), call=CALL)  # type: ignore[arg-type]
    assert found.question == "What does the Larkrise 2 weigh? Why?"
