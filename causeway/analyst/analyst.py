"""The life of a question: schema -> linking -> draft -> allow-list -> run -> repair -> chart and explanation.

A model only ever writes SQL, which is checked and made anew before it runs, and the result never goes back to it: what
stands in a table cannot steer it. Everything else here is computed by rules, so nothing but the SQL can be made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import msgspec

from causeway.analyst import draft_sql, schema_linking
from causeway.analyst.asked import Asked, AskedDatabases
from causeway.analyst.charts import Chart, chart
from causeway.analyst.draft_sql import Background, Drafted
from causeway.analyst.refusals import refusal
from causeway.analyst.result import Caps, Result
from causeway.analyst.semantic_layer import Pair
from causeway.analyst.verified_pairs import Notebook, Turn
from causeway.contracts.chat import ChatRequest, Message, Usage
from causeway.contracts.identity import Scope
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, QueryFailedError, RefusedSqlError
from causeway.observability import genai_names as names
from causeway.observability.spans import Spans
from causeway.prompts.prompt import Prompt
from causeway.prompts.shelf import Shelf
from causeway.seams import deferred
from causeway.settings import AnalystSettings

if TYPE_CHECKING:
    from causeway.analyst import doubts, explanation, mending, sql_rules
    from causeway.analyst.explanation import Explanation
    from causeway.analyst.sql_rules import CheckedSql
else:  # they bring sqlglot, which a process that is asked nothing of databases does not need
    doubts = deferred("causeway.analyst.doubts")
    explanation = deferred("causeway.analyst.explanation")
    mending = deferred("causeway.analyst.mending")
    sql_rules = deferred("causeway.analyst.sql_rules")

State = Literal["answered", "refused", "unclear", "failed"]
"""``unclear`` asks back; ``failed`` means that no draft could be run."""

_REPLY_TOKENS = 500
_VOTING_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asks; one in the conversation of an earlier question may refer to it."""

    text: str
    database: str | None = None
    conversation_id: str | None = None
    chart: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A draft, and what was wrong with it; empty when nothing was."""

    sql: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a question came to.

    Attributes:
        message: For people: why there is no answer, or the question back; empty when it was answered.
        sql: What was run, as its asker would write it; the last draft when it failed.
        attempts: Every draft in order.
        model_ms: How much of ``took_ms`` models took.
    """

    question: str
    database: str
    state: State
    message: str = ""
    sql: str = ""
    result: Result | None = None
    chart: Chart | None = None
    explanation: Explanation | None = None
    attempts: tuple[Attempt, ...] = ()
    trace_id: str = ""
    conversation_id: str = ""
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int
    model: str = ""
    took_ms: int = 0
    model_ms: int = 0


@dataclass(slots=True)
class _Work:
    """A question under way."""

    question: str
    asked: Asked
    background: Background
    call: Call
    prompt: Prompt
    repair: Prompt
    values: Mapping[str, object] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int
    model: str = ""
    model_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ran:
    """A query and its result."""

    checked: CheckedSql
    result: Result


class Analyst:
    """Answers questions from databases."""

    def __init__(
        self,
        *,
        databases: AskedDatabases,
        gateway: ModelGateway,
        notebook: Notebook,
        prompts: Shelf,
        spans: Spans,
        settings: AnalystSettings,
        capture_content: bool = True,
    ) -> None:
        self.databases = databases
        self.notebook = notebook
        self.pairs = notebook.pairs
        self._gateway = gateway
        self._prompts = prompts
        self._spans = spans
        self._clock = spans.clock
        self._settings = settings
        self._capture_content = capture_content
        self._caps = Caps(
            timeout_s=settings.timeout_s,
            rows=settings.max_rows,
            size_bytes=settings.max_result_bytes,
            cost=settings.max_cost,
            memory_bytes=settings.memory_bytes,
        )

    async def ask(self, question: Question, call: Call) -> Answer:
        """The answer to a question, a refusal, or a question back; what the model gets wrong is no exception.

        Raises:
            InvalidInputError: The question is empty.
            NotFoundError: There is no such database.
            CausewayError: The database or the model cannot be reached.
        """
        text = " ".join(question.text.split())
        if not text:
            msg = "the question is empty; ask something"
            raise InvalidInputError(msg)
        began = self._clock.monotonic()
        with self._spans.start("analyst", kind="server", parent=call.traceparent) as span:
            shown = text if self._capture_content else None
            span.set(
                {
                    names.QUESTION: shown,
                    names.PRINCIPAL: call.principal.id,
                    names.OWNER: call.principal.owner,
                    names.TEAM: call.principal.team,
                    names.PURPOSE: call.purpose,
                }
            )
            inner = msgspec.structs.replace(
                call, traceparent=span.traceparent, purpose="analyst", may_cache=False
            )
            asked = await self.databases.asked(question.database, call.principal)
            conversation = question.conversation_id or f"talk_{uuid4().hex}"
            answer, work = await self._answer(text, question, asked, inner, key=conversation)
            span.set(
                {
                    names.REFUSED: answer.state in ("refused", "unclear"),
                    "causeway.analyst.state": answer.state,
                }
            )
            span.set(
                {"causeway.analyst.database": asked.name, "causeway.analyst.attempts": len(answer.attempts)}
            )
            span.set({"causeway.analyst.sql": answer.sql if self._capture_content else None})
            took_ms = round((self._clock.monotonic() - began) * 1000)
            answer = replace(answer, trace_id=span.trace_id, conversation_id=conversation, took_ms=took_ms)
            if work is not None:
                shown_values = {"analyst_sql": work.values} if self._capture_content else None
                span.set({names.PROMPT_VALUES: shown_values})
                answer = replace(
                    answer,
                    usage=work.usage,
                    cost_micros=work.cost_micros,
                    model=work.model,
                    model_ms=round(work.model_s * 1000),
                )
            if answer.state == "answered":
                await self.notebook.note(
                    Turn(
                        trace_id=span.trace_id,
                        conversation_id=conversation,
                        principal_id=call.principal.owner,
                        database=asked.name,
                        question=text,
                        sql=answer.sql,
                    )
                )
            return answer

    async def run(self, sql: str, database: str | None, call: Call, *, chart_kind: str = "") -> Answer:
        """Check and run SQL that a person wrote or changed.

        Raises:
            RefusedSqlError: It is not one query over what is offered.
            QueryFailedError: The database refuses it, or it takes too much.
            NotFoundError: There is no such database.
        """
        began = self._clock.monotonic()
        with self._spans.start("analyst run", kind="server", parent=call.traceparent) as span:
            span.set(
                {
                    names.PRINCIPAL: call.principal.id,
                    names.OWNER: call.principal.owner,
                    names.TEAM: call.principal.team,
                    "causeway.analyst.sql": sql if self._capture_content else None,
                }
            )
            asked = await self.databases.asked(database, call.principal)
            ran = await self._run(sql, asked)
            said = explanation.explain(ran.checked, ran.result, asked.offer, asked.layer, None)
            return Answer(
                question="",
                database=asked.name,
                state="answered",
                sql=ran.checked.shown,
                result=ran.result,
                chart=chart(ran.result, wanted=chart_kind),
                explanation=said,
                attempts=(Attempt(ran.checked.shown),),
                trace_id=span.trace_id,
                took_ms=round((self._clock.monotonic() - began) * 1000),
            )

    async def approve(self, trace_id: str, call: Call, *, sql: str = "") -> bool:
        """Make a verified pair of an answered question, with ``sql`` in place of the draft's; False where the asker may not.

        Raises:
            NotFoundError: No question of this person was answered under the trace.
            RefusedSqlError: ``sql`` is not one query over what is offered.
        """
        turn = await self.notebook.turn(trace_id, call.principal.owner)
        if not call.principal.may(Scope.INGEST):
            return False
        asked = await self.databases.asked(turn.database, call.principal)
        checked = sql_rules.check(sql or turn.sql, asked.offer)
        await self.pairs.add(
            turn.database,
            Pair(question=turn.question, sql=checked.shown),
            call.principal.id,
            sql_rules.asker_values(checked, asked.offer),
        )
        return True

    # --- the steps -----------------------------------------------------------------------------------

    async def _answer(
        self, text: str, question: Question, asked: Asked, call: Call, *, key: str
    ) -> tuple[Answer, _Work | None]:
        earlier = None
        if question.conversation_id:
            earlier = await self.notebook.earlier(question.conversation_id, call.principal.owner, asked.name)
        linked = schema_linking.link(
            f"{earlier.question} {text}" if earlier else text, asked.offer, asked.layer
        )
        refused = refusal(text, asked.offer, asked.layer, linked, is_follow_up=earlier is not None)
        if refused is not None:
            state: State = "unclear" if refused.reason == "unclear" else "refused"
            return Answer(question=text, database=asked.name, state=state, message=refused.message), None
        pairs = await self._examples(text, asked, call)
        background = Background(
            offer=asked.offer, layer=asked.layer, linked=linked, pairs=pairs, earlier=earlier
        )
        drafting, repair = (self._prompts.get(name, key=key) for name in ("analyst_sql", "analyst_repair"))
        work = _Work(text, asked, background, call, drafting, repair)
        ran, cannot = await self._drafted(work)
        attempts = tuple(work.attempts)
        if ran is None:
            state = "refused" if cannot else "failed"
            message = f"The data does not hold this: {cannot}" if cannot else _gave_up(attempts)
            last = attempts[-1].sql if attempts and not cannot else ""
            return (
                Answer(
                    question=text,
                    database=asked.name,
                    state=state,
                    message=message,
                    sql=last,
                    attempts=attempts,
                ),
                work,
            )
        said = explanation.explain(ran.checked, ran.result, asked.offer, asked.layer, linked)
        return (
            Answer(
                question=text,
                database=asked.name,
                state="answered",
                sql=ran.checked.shown,
                result=ran.result,
                chart=chart(ran.result, wanted=question.chart),
                explanation=said,
                attempts=attempts,
            ),
            work,
        )

    async def _examples(self, text: str, asked: Asked, call: Call) -> Sequence[Pair]:
        """Verified pairs near the question that still pass: a column may have been hidden since."""
        known = {pair.question: pair for pair in asked.layer.pairs}
        known |= {pair.question: pair for pair in await self.pairs.of(asked.name, asked.offer.asker)}
        near = await self.pairs.nearest(text, list(known.values()), self._settings.examples, call)
        kept = []
        for pair in near:
            try:
                sql_rules.check(pair.sql, asked.offer)
            except RefusedSqlError:
                continue
            kept.append(pair)
        return kept

    async def _drafted(self, work: _Work) -> tuple[_Ran | None, str]:
        """The query that answers, and why there is none when the model says that there cannot be one."""
        work.values = draft_sql.values(work.question, work.background, tokens=self._settings.prompt_tokens)
        prompt = work.prompt.messages(work.values)
        chat = list(prompt)
        empty: _Ran | None = None
        doubted: _Ran | None = None
        is_doubted = False
        for _ in range(1 + self._settings.repairs):
            reply, drafted = await self._draft(work, chat, temperature=0.0)
            hints: list[str] = []
            if drafted.cannot and doubted is not None:
                break
            if drafted.cannot and (empty is not None or work.background.linked.unknown or is_doubted):
                return empty, "" if empty else drafted.cannot
            if drafted.cannot:
                # every word of the question means something here: small models give up on what they can do
                is_doubted = True
                work.attempts.append(Attempt("", f"the model gave up: {drafted.cannot}"))
                ran, problem = None, "the tables above do hold it. Reply with one SELECT"
            else:
                ran, problem = await self._tried(work, drafted)
            if ran is not None and not _is_empty(ran.result):
                problem = (
                    doubts.unasked(ran.checked, work.question, work.background) if doubted is None else ""
                )
                if not problem:
                    return await self._voted(work, prompt, ran), ""
                doubted = ran
                work.attempts[-1] = replace(work.attempts[-1], problem=problem)
            elif ran is not None:
                if empty is not None and ran.checked.shown == empty.checked.shown:
                    break
                empty = ran
                problem = "it ran and found nothing. Compare its conditions with the values of the columns"
                hints = [
                    f"'{m.value}' is a value of {m.table}.{m.column}."
                    for m in work.background.linked.mentions[:4]
                ]
            follow = draft_sql.repair_message(work.question, problem, hints, work.repair)
            chat = [*prompt, Message("assistant", reply), follow]
        found = doubted or empty
        return (await self._voted(work, prompt, found), "") if found is not None else (None, "")

    async def _voted(self, work: _Work, prompt: Sequence[Message], first: _Ran) -> _Ran:
        """The result that most drafts agree on, where the first was not found at once."""
        is_sure = len(work.attempts) == 1 and not _is_empty(first.result)
        if is_sure or self._settings.votes < 2:
            return first
        found = [first]
        for _ in range(self._settings.votes - 1):
            _reply, drafted = await self._draft(work, prompt, temperature=_VOTING_TEMPERATURE)
            ran, _problem = await self._tried(work, drafted) if drafted.sql else (None, "")
            if ran is not None:
                found.append(ran)
        keys = [tuple(sorted(map(repr, ran.result.rows))) for ran in found]
        return max(
            zip(found, keys, strict=True),
            key=lambda pair: (keys.count(pair[1]), not _is_empty(pair[0].result)),
        )[0]

    async def _draft(
        self, work: _Work, chat: Sequence[Message], *, temperature: float
    ) -> tuple[str, Drafted]:
        request = ChatRequest(
            model="chat", messages=tuple(chat), max_tokens=_REPLY_TOKENS, temperature=temperature
        )
        began = self._clock.monotonic()
        call = msgspec.structs.replace(work.call, prompt=work.prompt.reference)
        reply = await self._gateway.complete(request, call)
        work.model_s += self._clock.monotonic() - began
        work.usage += reply.usage
        work.cost_micros = Micros(work.cost_micros + reply.cost_micros)
        work.model = reply.model
        return reply.text, draft_sql.read(reply.text)

    async def _tried(self, work: _Work, drafted: Drafted) -> tuple[_Ran | None, str]:
        """The draft's result, or what is wrong with it."""
        if not drafted.sql:
            work.attempts.append(Attempt("", "the model wrote no SQL"))
            return None, "it is no SQL query. Reply with one SELECT"
        try:
            ran = await self._run(drafted.sql, work.asked)
        except (RefusedSqlError, QueryFailedError) as exc:
            work.attempts.append(Attempt(drafted.sql, exc.message))
            mended = await self._mended(drafted.sql, work.asked)
            if mended is None:
                return None, exc.message
            ran = mended
        work.attempts.append(Attempt(ran.checked.shown, "it found nothing" if _is_empty(ran.result) else ""))
        return ran, ""

    async def _mended(self, sql: str, asked: Asked) -> _Ran | None:
        """The draft with its names mended, if it can be run then."""
        mended = await asyncio.to_thread(mending.mended, sql, asked.offer)
        try:
            return await self._run(mended, asked) if mended else None
        except (RefusedSqlError, QueryFailedError):
            return None

    async def _run(self, sql: str, asked: Asked) -> _Ran:
        checked = await asyncio.to_thread(sql_rules.check, sql, asked.offer)
        return _Ran(checked, await asked.database.run(checked.sql, self._caps, asked.reach))


def _is_empty(result: Result) -> bool:
    return all(value is None for row in result.rows for value in row)


def _gave_up(attempts: Sequence[Attempt]) -> str:
    why = next(
        (attempt.problem for attempt in reversed(attempts) if attempt.problem), "the model wrote no SQL"
    )
    return f"I could not write a query that works for this. The last try failed: {why}"
