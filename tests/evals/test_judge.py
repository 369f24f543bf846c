from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from causeway.contracts.chat import ChatReply, ChatRequest, StopReason, Usage
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError, ModelUnavailableError, NotFoundError
from causeway.evals.judge import SUREST, Judge, Trust, claims, log_odds
from causeway.evals.outcome import Mark, Outcome, Shown
from causeway.evals.suite import Case
from causeway.prompts.shelf import Shelf
from causeway.testing.gateway import FakeGateway

CALL = Call(principal=SYSTEM, purpose="evals")
CASE = Case.model_validate(
    {"name": "a", "inputs": {"question": "How long?"}, "expected_output": {"reference": "45 days."}}
)
ANSWER = Outcome(
    text="You have 45 days [1]. It is free of charge [2].",
    shown=(Shown(path="a.md", text="45 days."), Shown(path="b.md", text="Free of charge.")),
    marks=(Mark(n=1, path="a.md"), Mark(n=2, path="b.md")),
)


def _reply(text: str, **probabilities: float) -> ChatReply:
    top = [{"token": token, "logprob": math.log(p)} for token, p in probabilities.items()]
    logprobs = {"content": [{"top_logprobs": top}]} if top else None
    return ChatReply(text=text, model="m", stop_reason=StopReason.END, usage=Usage(), logprobs=logprobs)


class ScriptedGateway(FakeGateway):
    """Replies in order; remembers what it was asked."""

    def __init__(self, *replies: ChatReply | Exception) -> None:
        super().__init__()
        self._given = list(replies)

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        self.requests.append(request)
        reply = self._given.pop(0) if len(self._given) > 1 else self._given[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


def _judge(*replies: ChatReply | Exception, trust: Trust | None = None) -> tuple[Judge, ScriptedGateway]:
    gateway = ScriptedGateway(*replies)

    async def trusted(rubric: str, model: str) -> Trust:
        return trust or Trust()

    return Judge(gateway, Shelf.packaged(), trusted), gateway


def test_certainty_is_the_odds_of_the_first_token() -> None:
    assert math.isclose(
        log_odds(_reply("Yes", Yes=0.6, yes=0.2, No=0.2), "yes", "no") or 0, math.log(4), abs_tol=1e-3
    )
    assert log_odds(_reply("no", no=0.999, yes=0.0000001), "yes", "no") == -SUREST


@pytest.mark.parametrize(
    "reply",
    [_reply("Maybe", Maybe=0.7, Yes=0.2), _reply("I think yes"), _reply(""), _reply("42")],
)
def test_a_judge_that_answers_nonsense_abstains(reply: ChatReply) -> None:
    assert log_odds(reply, "yes", "no") is None


def test_without_probabilities_the_word_is_sure() -> None:
    assert log_odds(_reply("Yes."), "yes", "no") == SUREST
    assert log_odds(_reply("**no**"), "yes", "no") == -SUREST


async def test_a_verdict_is_held_against_the_threshold() -> None:
    reply = _reply("yes", yes=0.7, no=0.3)
    for threshold, value in ((0.0, 1.0), (2.0, 0.0)):
        judge, _ = _judge(reply, trust=Trust(threshold=threshold, kappa=0.8))
        (score,) = await judge.scores(CASE, ANSWER, rubrics=["correctness"], model="chat", call=CALL)
        assert (score.value, score.passed) == (value, value == 1.0)


@pytest.mark.parametrize("kappa", [None, 0.0, 0.59])
async def test_a_judge_that_agrees_too_little_only_informs(kappa: float | None) -> None:
    judge, _ = _judge(_reply("yes", yes=1.0), trust=Trust(kappa=kappa))
    (score,) = await judge.scores(CASE, ANSWER, rubrics=["correctness"], model="chat", call=CALL)
    assert (score.value, score.passed) == (1.0, None)


async def test_groundedness_is_asked_claim_by_claim() -> None:
    judge, gateway = _judge(_reply("yes", yes=1.0), _reply("no", no=1.0), trust=Trust(kappa=0.9))
    (score,) = await judge.scores(CASE, ANSWER, rubrics=["groundedness"], model="chat", call=CALL)
    assert (score.value, score.passed) == (0.5, False)
    asked = [request.messages[-1].text for request in gateway.requests if isinstance(request, ChatRequest)]
    assert "Claim: You have 45 days." in asked[0]
    assert "Claim: It is free of charge." in asked[1]


async def test_an_abstention_and_a_failure_are_no_pass() -> None:
    for reply, reason in (
        (_reply("Perhaps"), "the judge abstains"),
        (ModelUnavailableError("x"), "not judged: model_unavailable"),
    ):
        judge, _ = _judge(reply, trust=Trust(kappa=0.9))
        (score,) = await judge.scores(CASE, ANSWER, rubrics=["correctness"], model="chat", call=CALL)
        assert (score.value, score.passed, score.reason) == (None, None, reason)


async def test_a_provider_without_probabilities_is_asked_for_the_word() -> None:
    judge, gateway = _judge(InvalidInputError("logprobs are not supported"), _reply("yes"))
    assert await judge.certainty("style", {"answer": "x"}, model="m", call=CALL) == SUREST
    assert [request.options for request in gateway.requests if isinstance(request, ChatRequest)][1] == {}


async def test_what_does_not_apply_is_not_judged() -> None:
    judge, gateway = _judge(_reply("yes"))
    unanswerable = CASE.model_copy(
        update={"expected_output": CASE.expected_output.model_copy(update={"refused": True})}
    )
    everything: Sequence[str] = ["correctness", "groundedness", "relevance", "style"]
    assert await judge.scores(unanswerable, ANSWER, rubrics=everything, model="m", call=CALL) == ()
    assert (
        await judge.scores(CASE, Outcome(refused=True, text="no"), rubrics=everything, model="m", call=CALL)
        == ()
    )
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("there", "back", "preferred"),
    [
        (_reply("A", A=0.9, B=0.1), _reply("B", A=0.2, B=0.8), "one"),
        (_reply("B", A=0.1, B=0.9), _reply("A", A=0.8, B=0.2), "other"),
        (_reply("A", A=0.9, B=0.1), _reply("A", A=0.9, B=0.1), None),
        (_reply("A", A=0.9, B=0.1), _reply("neither"), None),
    ],
)
async def test_a_preference_has_to_survive_the_other_order(
    there: ChatReply, back: ChatReply, preferred: str | None
) -> None:
    judge, gateway = _judge(there, back)
    assert await judge.prefer("How long?", "45 days", "30 days", model="m", call=CALL) == preferred
    first, second = (
        request.messages[-1].text for request in gateway.requests if isinstance(request, ChatRequest)
    )
    assert first.index("45 days") < first.index("30 days")
    assert second.index("30 days") < second.index("45 days")


def test_unknown_rubrics_are_refused() -> None:
    judge, _ = _judge(_reply("yes"))
    with pytest.raises(NotFoundError, match="beauty"):
        judge.check(["beauty"])


def test_short_sentences_go_with_the_one_before() -> None:
    assert claims("You have 45 days [1]. No longer. Returns are free of charge [2].") == [
        "You have 45 days. No longer.",
        "Returns are free of charge.",
    ]
