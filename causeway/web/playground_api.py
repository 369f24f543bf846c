"""``/api/prompts/.../try``: a version, or a draft, run on a model with given values; and values to try it with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from causeway.contracts.chat import ChatChunk, ChatRequest, Message, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import to_dollars
from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.suite_files import find_suite, packaged_names
from causeway.prompts.prompt import MOST_TEXT
from causeway.prompts.shelf import LIVE
from causeway.prompts.usage import PLAYGROUND
from causeway.web.event_stream import Event, EventStream, until_gone
from causeway.web.parts import PromptParts
from causeway.web.prompt_shapes import MessageShape, PromptDesk, PromptName, message_shapes
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api/prompts", tags=["Prompts"])

_DEADLINE_S: Final = 180.0
_TRACE_DAYS: Final = 14
_MOST_CASES: Final = 200
_STREAM: Final[dict[str, Any]] = {
    "description": "What came of it; with `stream`, server-sent events `text` `{text}`, then `done` (this shape) or `error`"
    " (a problem)",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class TryBody(BaseModel):
    """One run of a prompt."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(min_length=1, max_length=200, examples=["chat"])
    values: dict[str, Any] = Field(description="What the prompt is filled with")
    which: str = Field(
        default=LIVE, pattern="^([0-9]{1,9}|[a-z][a-z0-9_-]{0,39})$", description="A version or a label"
    )
    text: str | None = Field(
        default=None,
        max_length=MOST_TEXT,
        description="A draft to run in the version's place: a `.prompt` file",
    )
    max_tokens: int = Field(default=512, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0, le=2)
    stream: bool = False


class TryAnswer(BaseModel):
    """What came of one run."""

    model_config = ConfigDict(protected_namespaces=())

    prompt: str = Field(examples=["answer@3"], description="A draft is version `draft`")
    model: str
    output: str
    stop_reason: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float
    took_ms: int
    ttft_ms: int | None = Field(description="Until the first piece of text")
    trace_id: str | None
    messages: list[MessageShape] = Field(description="What the model was sent")


class InputSet(BaseModel):
    """Values to try a prompt with."""

    name: str
    source: Literal["example", "trace", "case"]
    values: dict[str, Any]
    trace_id: str | None = None


class InputsAnswer(BaseModel):
    """Values to try a prompt with, and the suites that have more."""

    inputs: list[InputSet]
    suites: list[str]
    models: list[str]


@router.get("/{prompt}/inputs", name="api_prompt_inputs")
async def inputs(
    name: PromptName,
    parts: Parts,
    desk: PromptDesk,
    suite: Annotated[str | None, Query(max_length=100, description="Take its cases")] = None,
) -> InputsAnswer:
    """Values to try a prompt with: its examples and what recent traces filled it with, or the cases of a suite."""
    prompt = desk.registry.shelf.get(name)
    names = packaged_names()
    if suite is None:
        found = [InputSet(name="Examples", source="example", values=prompt.examples)]
        since = parts.clock.now() - timedelta(days=_TRACE_DAYS)
        found += [
            InputSet(
                name=str(each.values.get("question") or each.trace_id)[:120],
                source="trace",
                values=dict(each.values),
                trace_id=each.trace_id,
            )
            for each in await desk.usage.captured(name, since)
        ]
    else:
        if suite not in names:
            raise NotFoundError(f"no suite is called '{suite}'; there are {', '.join(names)}")
        found = await asyncio.to_thread(_cases, suite, prompt.examples)
    return InputsAnswer(inputs=found, suites=list(names), models=list(desk.models()))


@router.post("/{prompt}/try", name="api_try_prompt", response_model=TryAnswer, responses={200: _STREAM})
async def try_prompt(
    name: PromptName, body: TryBody, request: Request, parts: Parts, desk: PromptDesk, admin: Admin
) -> Any:
    """Run a version or a draft on a model; what it costs is the caller's, and no version's usage counts it."""
    reference, messages = _filled(desk, name, body)
    events = _run(reference, messages, body, desk=desk, by=admin, clock=parts.clock)
    if body.stream:
        return EventStream(events)

    async def whole() -> TryAnswer | None:
        async with aclosing(events):
            async for event in events:
                if event.name == "done":
                    return TryAnswer.model_validate(event.payload)
        return None

    return await until_gone(whole, request.receive) or Response(status_code=499)


def _filled(desk: PromptParts, name: str, body: TryBody) -> tuple[str, tuple[Message, ...]]:
    """The prompt's reference and the chat it makes."""
    if body.text is None:
        prompt = desk.registry.shelf.get(f"{name}@{body.which}")
        return prompt.reference, prompt.messages(body.values)
    checked = desk.registry.check(body.text)
    if checked.prompt is None or checked.problems:
        raise InvalidInputError(f"the draft cannot be run: {'; '.join(checked.problems)}")
    return f"{name}@draft", checked.prompt.messages(body.values)


async def _run(
    reference: str,
    messages: tuple[Message, ...],
    body: TryBody,
    *,
    desk: PromptParts,
    by: Principal,
    clock: Clock,
) -> AsyncGenerator[Event, None]:
    began = clock.monotonic()
    call = Call(principal=by, purpose=PLAYGROUND, prompt=reference, may_cache=False, deadline_s=_DEADLINE_S)
    asked = ChatRequest(
        model=body.model, messages=messages, max_tokens=body.max_tokens, temperature=body.temperature
    )
    said: list[str] = []
    last = ChatChunk()
    used, cost, first_ms = Usage(), 0, None
    model, trace_id = body.model, None
    async with aclosing(desk.gateway.stream(asked, call)) as chunks:
        async for chunk in chunks:
            last = chunk if chunk.stop_reason else last
            used, cost = used + (chunk.usage or Usage()), cost + (chunk.cost_micros or 0)
            model, trace_id = chunk.model or model, chunk.trace_id or trace_id
            if chunk.text:
                first_ms = round((clock.monotonic() - began) * 1000) if first_ms is None else first_ms
                said.append(chunk.text)
                yield Event("text", {"text": chunk.text})
    done = TryAnswer(
        prompt=reference,
        model=model,
        output="".join(said),
        stop_reason=last.stop_reason,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=to_dollars(cost),
        took_ms=round((clock.monotonic() - began) * 1000),
        ttft_ms=first_ms,
        trace_id=trace_id,
        messages=message_shapes(messages),
    )
    yield Event("done", done.model_dump())


def _cases(suite: str, examples: dict[str, Any]) -> list[InputSet]:
    """The cases of a suite; what a case does not say of a prompt's inputs is as in its examples."""
    found = []
    for case in find_suite(suite).cases[:_MOST_CASES]:
        given = {**case.inputs.values, "question": case.inputs.question}
        values = {**examples, **{name: value for name, value in given.items() if name in examples}}
        found.append(InputSet(name=case.name, source="case", values=values))
    return found
