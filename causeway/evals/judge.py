"""A model as a judge: rubrics asked as yes-or-no questions, and how sure the model is of its yes.

A small model says yes too readily, so what counts is not its word but the log-odds of yes against no in its first token,
beside the threshold at which it agrees best with people (`causeway.evals.calibration`). A judge that answers anything else
abstains: no score, never a pass. Groundedness is asked claim by claim, since one invented number hides well in a
long answer. Two answers are compared in both orders, and only a preference that survives the exchange is one: models favour
the first (https://arxiv.org/abs/2306.05685).
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

from causeway.contracts.chat import ChatReply, ChatRequest
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.errors import CausewayError, NotFoundError
from causeway.evals.outcome import Outcome, Score
from causeway.evals.suite import Case
from causeway.prompts.prompt import Prompt

RUBRICS: Final = ("correctness", "groundedness", "relevance", "style")
SUREST: Final = 6.0
_FLOOR: Final = 1e-4
_MOST_CLAIMS: Final = 8
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[\"'(A-Z])")
_MARK: Final = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
_WORDS_OF_A_VERDICT: Final = 4


class Prompts(Protocol):
    """`causeway.prompts.shelf.Shelf`."""

    def get(self, name: str) -> Prompt:
        """The prompt called ``name``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far a judge may be believed.

    Attributes:
        threshold: Log-odds of yes above which its verdict is yes.
        kappa: Its agreement with people on the half that the threshold was not chosen on; None when it was not measured.
    """

    threshold: float = 0.0
    kappa: float | None = None

    @property
    def may_gate(self) -> bool:
        """Whether its verdicts may fail a gate."""
        return self.kappa is not None and self.kappa >= GATE_KAPPA


GATE_KAPPA: Final = 0.6
"""Substantial agreement by Landis and Koch, https://doi.org/10.2307/2529310; below it a judge informs."""

Trusted = Callable[[str, str], Awaitable[Trust]]
"""How far the judge of a rubric (first) on a model (second) may be believed."""


class Judge:
    """Judges answers through the gateway."""

    def __init__(self, gateway: ModelGateway, prompts: Prompts, trusted: Trusted) -> None:
        self._gateway = gateway
        self._prompts = prompts
        self._trusted = trusted

    def check(self, rubrics: Collection[str]) -> None:
        """Pass, or refuse.

        Raises:
            NotFoundError: There is no such rubric.
        """
        unknown = [rubric for rubric in rubrics if rubric not in RUBRICS]
        if unknown:
            raise NotFoundError(f"no rubric is called '{unknown[0]}'; there are {', '.join(RUBRICS)}")

    def prompt(self, rubric: str) -> Prompt:
        """The prompt of a rubric."""
        return self._prompts.get(f"judge_{rubric}")

    async def scores(
        self, case: Case, outcome: Outcome, *, rubrics: Sequence[str], model: str, call: Call
    ) -> Sequence[Score]:
        """A score for each of ``rubrics`` that applies; refusals are left to the checks."""
        if outcome.refused or not outcome.text.strip() or case.expected_output.refused:
            return ()
        return [
            await self._score(rubric, case, outcome, model, call)
            for rubric in rubrics
            if rubric != "correctness" or case.expected_output.reference
            if rubric != "groundedness" or outcome.shown
        ]

    async def certainty(
        self, rubric: str, values: Mapping[str, object], *, model: str, call: Call
    ) -> float | None:
        """The judge's log-odds of yes; None when it answers neither yes nor no."""
        prompt = self.prompt(rubric)
        reply = await self._ask(prompt, values, model, call)
        return log_odds(reply, "yes", "no")

    async def prefer(
        self, question: str, one: str, other: str, *, reference: str = "", model: str, call: Call
    ) -> Literal["one", "other"] | None:
        """The better of two answers; None when the order decides, or the judge does not."""
        prompt = self.prompt("preference")
        verdicts = []
        for first, second in ((one, other), (other, one)):
            values = {"question": question, "reference": reference, "first": first, "second": second}
            verdicts.append(log_odds(await self._ask(prompt, values, model, call), "a", "b"))
        there, back = verdicts
        if there is None or back is None or (there > 0) == (back > 0):
            return None
        return "one" if there > 0 else "other"

    async def _score(self, rubric: str, case: Case, outcome: Outcome, model: str, call: Call) -> Score:
        name = f"judge: {rubric}"
        trust = await self._trusted(rubric, model)
        try:
            verdicts = [
                await self.certainty(rubric, values, model=model, call=call)
                for values in _asked(rubric, case, outcome)
            ]
        except CausewayError as exc:
            return Score(name=name, value=None, passed=None, reason=f"not judged: {exc.code}")
        told = [verdict for verdict in verdicts if verdict is not None]
        if not told:
            return Score(name=name, value=None, passed=None, reason="the judge abstains")
        value = sum(verdict > trust.threshold for verdict in told) / len(told)
        reason = f"{', '.join(f'{verdict:+.1f}' for verdict in told)} against {trust.threshold:+.1f}"
        return Score(name=name, value=value, passed=value == 1.0 if trust.may_gate else None, reason=reason)

    async def _ask(self, prompt: Prompt, values: Mapping[str, object], model: str, call: Call) -> ChatReply:
        request = ChatRequest(
            model=model,
            messages=prompt.messages(values),
            max_tokens=_WORDS_OF_A_VERDICT,
            temperature=0.0,
            options={"logprobs": True, "top_logprobs": 10},
        )
        named = msgspec.structs.replace(call, prompt=prompt.reference)
        try:
            return await self._gateway.complete(request, named)
        except CausewayError as exc:
            if exc.retryable or exc.code != "invalid_request":
                raise
            # some providers refuse to tell log-probabilities; their plain word then counts as sure
            return await self._gateway.complete(msgspec.structs.replace(request, options={}), named)


def log_odds(reply: ChatReply, yes: str, no: str) -> float | None:
    """How much surer a reply is of ``yes`` than of ``no``, by its first token; None when it is neither."""
    content = (reply.logprobs or {}).get("content")
    first = content[0] if isinstance(content, list) and content else {}
    told = first.get("top_logprobs") if isinstance(first, dict) else None
    mass = {yes: 0.0, no: 0.0}
    for one in told or ():
        word = str(one["token"]).strip(" *\"'.").lower()
        if word in mass:
            mass[word] += math.exp(float(one["logprob"]))
    if sum(mass.values()) >= 0.5:
        odds = math.log((mass[yes] + _FLOOR) / (mass[no] + _FLOOR))
        return min(max(odds, -SUREST), SUREST)
    if told:
        return None
    word = re.split(r"\W+", reply.text.strip(" *\"'").lower(), maxsplit=1)[0]
    return {yes: SUREST, no: -SUREST}.get(word)


def claims(text: str) -> list[str]:
    """The sentences of an answer, without their marks; short ones go with the sentence before."""
    found: list[str] = []
    for sentence in _SENTENCE.split(_MARK.sub("", text).strip()):
        if found and len(sentence.split()) < 4:
            found[-1] += f" {sentence}"
        elif sentence:
            found.append(sentence)
    return found[:_MOST_CLAIMS]


def _asked(rubric: str, case: Case, outcome: Outcome) -> list[Mapping[str, object]]:
    """What the rubric's prompt is filled with; one a claim for groundedness."""
    if rubric == "groundedness":
        cited = {mark.n for mark in outcome.marks}
        shown = [
            f"{passage.heading}\n{passage.text}"
            for n, passage in enumerate(outcome.shown, start=1)
            if n in cited or not cited
        ]
        return [{"passages": shown, "claim": claim} for claim in claims(outcome.text)]
    return [
        {
            "question": case.inputs.question,
            "answer": _MARK.sub("", outcome.text).strip(),
            "reference": case.expected_output.reference or "",
        }
    ]
