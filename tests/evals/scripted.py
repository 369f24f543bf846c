"""A subject that answers from a table, and the door that hands it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from causeway.contracts.model_gateway import Call
from causeway.errors import CausewayError, NotFoundError
from causeway.evals.checks import Aspect
from causeway.evals.judge import RUBRICS
from causeway.evals.outcome import Outcome, Score
from causeway.evals.suite import Case, Inputs, Suite


@dataclass
class ScriptedSubject:
    """Answers with ``say(question)``; remembers what it was asked."""

    say: Callable[[str], Outcome | CausewayError] = lambda question: Outcome(text=f"{question} is 1")
    name: str = "scripted"
    aspects: tuple[Aspect, ...] = ("text",)
    is_exact: bool = False
    settings: dict[str, object] = field(default_factory=lambda: {"model": "a"})
    asked: Counter[str] = field(default_factory=Counter)

    async def identity(self) -> Mapping[str, object]:
        return dict(self.settings)

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        assert call.purpose == "evals"
        self.asked[inputs.question] += 1
        said = self.say(inputs.question)
        if isinstance(said, CausewayError):
            raise said
        return said


class ScriptedJudge:
    """Finds every answer correct, prefers the shorter, and cannot gate."""

    def check(self, rubrics: Sequence[str]) -> None:
        if set(rubrics) - set(RUBRICS):
            raise NotFoundError(f"no rubric is called {rubrics[0]}")

    async def prefer(
        self, question: str, one: str, other: str, *, reference: str = "", model: str, call: Call
    ) -> Literal["one", "other"] | None:
        return None if len(one) == len(other) else "one" if len(one) < len(other) else "other"

    async def scores(
        self, case: Case, outcome: Outcome, *, rubrics: Sequence[str], model: str, call: Call
    ) -> Sequence[Score]:
        return [Score(name=f"judge: {rubric}", value=1.0) for rubric in rubrics]


@dataclass
class ScriptedDoor:
    """One subject, and a library that lacks what it is told."""

    subject: ScriptedSubject = field(default_factory=ScriptedSubject)
    judge: ScriptedJudge = field(default_factory=ScriptedJudge)
    lacking: tuple[str, ...] = ()

    def named(self, name: str) -> ScriptedSubject:
        if name != self.subject.name:
            raise NotFoundError(f"nothing is called '{name}'")
        return self.subject

    async def missing(self, paths: Sequence[str]) -> Sequence[str]:
        return [path for path in paths if path in self.lacking]


def suite_of(count: int, **more: object) -> Suite:
    """Questions q0, q1, ... whose answer has to hold the fact 1."""
    cases = [
        {
            "name": f"q{n}",
            "inputs": {"question": f"q{n}"},
            "expected_output": {"facts": ["1"]},
            "metadata": {"page": f"page {n}"},
        }
        for n in range(count)
    ]
    return Suite.model_validate({"name": "small", "cases": cases, **more})
