"""The analyst as a subject of suites: a question becomes rows, which a case's table is held against."""

from __future__ import annotations

from collections.abc import Mapping

from causeway.analyst.analyst import Analyst, Question
from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call
from causeway.evals.checks import Aspect
from causeway.evals.outcome import Outcome
from causeway.evals.suite import Inputs
from causeway.prompts.shelf import Shelf


class AnalystSubject:
    """Questions to a database; ``values.database`` of a case names which, the first where it says nothing."""

    name = "analyst"
    aspects: tuple[Aspect, ...] = ("text", "table")
    is_exact = False

    def __init__(self, analyst: Analyst, prompts: Shelf, clock: Clock, *, model: str) -> None:
        self._analyst = analyst
        self._prompts = prompts
        self._clock = clock
        self._model = model

    async def identity(self) -> Mapping[str, object]:
        """The model, the prompts and the databases."""
        prompts = {name: self._prompts.get(name).sha256 for name in ("analyst_sql", "analyst_repair")}
        return {"model": self._model, "databases": self._analyst.databases.names(), **prompts}

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """The rows; what was computed, in words, or why nothing was."""
        started = self._clock.monotonic()
        database = inputs.values.get("database")
        question = Question(text=inputs.question, database=str(database) if database else None)
        answer = await self._analyst.ask(question, call)
        said = answer.explanation.text if answer.explanation else answer.message
        return Outcome(
            text=f"{said}\n\n{answer.sql}".strip(),
            refused=answer.state in ("refused", "unclear"),
            rows=answer.result.rows if answer.result else None,
            trace_id=answer.trace_id or None,
            model=answer.model,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            cost_micros=answer.cost_micros,
            took_ms=round((self._clock.monotonic() - started) * 1000),
        )
