"""What a suite is run against: a Protocol, and the subjects that Causeway has.

``knowledge`` answers questions, ``retrieval`` searches and no more, ``model:NAME`` is a chat model behind the gateway,
``prompt:NAME`` a prompt of the shelf filled with the case's values, ``gateway`` a person's chat with every guard on,
``router`` the choice that model ``auto`` makes. Other products join by implementing `Subject`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.errors import InvalidInputError
from causeway.evals.checks import Aspect
from causeway.evals.outcome import Mark, Outcome, Shown
from causeway.evals.suite import Asker, Inputs
from causeway.knowledge import (
    AnswerEvent,
    AskRequest,
    Finished,
    Hit,
    Retrieved,
    SearchRequest,
    SearchResult,
    TextDelta,
)
from causeway.prompts.prompt import Prompt

PURPOSE: Final = "evals"
"""What ledgers and dashboards call these calls."""
EVALS: Final = Principal(id="evals", name="evals", scopes=frozenset({Scope.ADMIN}))
"""For whom suites are run: a line of its own in the ledger, bounded by the tier ``internal`` and by a run's own limit."""
_REPLY_TOKENS: Final = 400
_PURPOSE_OF_PEOPLE: Final = "ask"
"""What the gateway knows calls by whose reply somebody reads as it is."""


def asked_by(asker: Asker | None, call: Call) -> Call:
    """``call`` as the person of a case makes it; as it is without one."""
    return call if asker is None else msgspec.structs.replace(call, principal=asker.principal)


class Subject(Protocol):
    """What can be asked the questions of a suite.

    Attributes:
        name: As the command line calls it.
        aspects: What its outcomes have to be checked.
        is_exact: Asked twice, it does the same: no difference between two runs is chance.
    """

    @property
    def name(self) -> str:
        """As the command line calls it."""
        ...

    @property
    def aspects(self) -> Collection[Aspect]:
        """What its outcomes have to be checked."""
        ...

    @property
    def is_exact(self) -> bool:
        """Asked twice, it does the same."""
        ...

    async def identity(self) -> Mapping[str, object]:
        """Plain values of everything its answers depend on beside the question: settings, prompts, models, documents."""
        ...

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """What it does with one case; a `CausewayError` when it cannot."""
        ...


class Answers(Protocol):
    """`causeway.knowledge.Answerer`."""

    def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        """An answer as it is made."""
        ...


class Searches(Protocol):
    """`causeway.knowledge.Search`."""

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        """Hits, best first."""
        ...


class Identify(Protocol):
    """Tells what answers depend on, at the moment."""

    async def __call__(self) -> Mapping[str, object]:
        """Plain values."""
        ...


class KnowledgeSubject:
    """The knowledge base: a question, its passages, and a cited answer or a refusal."""

    name = "knowledge"
    aspects: tuple[Aspect, ...] = ("text", "passages")
    is_exact = False

    def __init__(self, answerer: Answers, identify: Identify, clock: Clock) -> None:
        self._answerer = answerer
        self._identify = identify
        self._clock = clock

    async def identity(self) -> Mapping[str, object]:
        """Documents, settings, models and the prompt."""
        return await self._identify()

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """The answer, with the passages that it was written from."""
        started = self._clock.monotonic()
        hits: tuple[Hit, ...] = ()
        finished: Finished | None = None
        first_text_ms: int | None = None
        request = AskRequest(
            question=inputs.question, collection=inputs.collection, filters=dict(inputs.filters)
        )
        async with aclosing(self._answerer.ask(request, asked_by(inputs.asker, call))) as events:
            async for event in events:
                match event:
                    case Retrieved():
                        hits = event.hits
                    case TextDelta() if first_text_ms is None:
                        first_text_ms = round((self._clock.monotonic() - started) * 1000)
                    case Finished():
                        finished = event
                    case _:
                        pass
        if finished is None:
            msg = "the answer broke off before its end; ask again"
            raise InvalidInputError(msg)
        return Outcome(
            text=finished.answer,
            refused=finished.refused,
            shown=tuple(map(_shown, hits)),
            marks=tuple(
                Mark(n=cited.n, path=cited.path, page=cited.page, quote=cited.quote)
                for cited in finished.citations
            ),
            left_out=finished.left_out,
            trace_id=finished.trace_id,
            model=finished.model,
            input_tokens=finished.usage.input_tokens,
            output_tokens=finished.usage.output_tokens,
            cost_micros=finished.cost_micros,
            took_ms=round((self._clock.monotonic() - started) * 1000),
            first_text_ms=first_text_ms,
        )


class RetrievalSubject:
    """The knowledge base's search: as many passages as an answer is written from."""

    name = "retrieval"
    aspects: tuple[Aspect, ...] = ("passages",)
    is_exact = True

    def __init__(self, search: Searches, identify: Identify, clock: Clock, *, top_k: int) -> None:
        self._search = search
        self._identify = identify
        self._clock = clock
        self._top_k = top_k

    async def identity(self) -> Mapping[str, object]:
        """Documents, settings and models."""
        return await self._identify()

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """The passages, best first."""
        started = self._clock.monotonic()
        request = SearchRequest(
            query=inputs.question,
            collection=inputs.collection,
            filters=dict(inputs.filters),
            top_k=self._top_k,
        )
        found = await self._search.search(request, asked_by(inputs.asker, call))
        return Outcome(
            shown=tuple(map(_shown, found.hits)),
            took_ms=round((self._clock.monotonic() - started) * 1000),
        )


class ChatSubject:
    """A chat model, or a prompt, behind the gateway.

    Args:
        gateway: The door to the model.
        clock: For durations.
        model: An alias or a model's own name.
        means: The model's own name.
        prompt: What makes the messages; without one they are the case's own, its question last.
        tier: As somebody of this tier who reads the reply, with whatever the tier guards; without it as a program.
    """

    aspects: tuple[Aspect, ...] = ("text",)
    is_exact = False

    def __init__(
        self,
        gateway: ModelGateway,
        clock: Clock,
        *,
        model: str,
        means: str,
        prompt: Prompt | None = None,
        tier: str | None = None,
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._model = model
        self._means = means
        self._prompt = prompt
        self._tier = tier

    @property
    def name(self) -> str:
        """``model:NAME``, ``prompt:NAME``, or ``gateway`` for somebody's chat."""
        if self._tier is not None:
            return "gateway"
        return f"prompt:{self._prompt.name}" if self._prompt else f"model:{self._model}"

    async def identity(self) -> Mapping[str, object]:
        """The model's name and the prompt's version and digest."""
        prompt = self._prompt
        return (
            {"model": self._means}
            | ({"prompt": prompt.reference, "prompt_sha256": prompt.sha256} if prompt else {})
            | ({"tier": self._tier} if self._tier is not None else {})
        )

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """The model's reply."""
        started = self._clock.monotonic()
        request = ChatRequest(
            model=self._model, messages=self._messages(inputs), max_tokens=_REPLY_TOKENS, temperature=0.0
        )
        named = asked_by(inputs.asker, call)
        named = msgspec.structs.replace(named, prompt=self._prompt.reference) if self._prompt else named
        if self._tier is not None:
            person = replace(named.principal, tier=self._tier)
            named = msgspec.structs.replace(named, principal=person, purpose=_PURPOSE_OF_PEOPLE)
        reply = await self._gateway.complete(request, named)
        return Outcome(
            text=reply.text,
            trace_id=reply.trace_id,
            model=reply.model,
            input_tokens=reply.usage.input_tokens,
            output_tokens=reply.usage.output_tokens,
            cost_micros=reply.cost_micros,
            took_ms=round((self._clock.monotonic() - started) * 1000),
        )

    def _messages(self, inputs: Inputs) -> tuple[Message, ...]:
        if self._prompt is not None:
            values = json.loads(json.dumps({**inputs.values, "question": inputs.question}))
            return self._prompt.messages(values)
        said = tuple(Message(role, text) for role, text in inputs.messages)
        return (*said, Message("user", inputs.question))


class RouterSubject:
    """The choice of model ``auto``: whether a question goes to the cheap model or to the strong one.

    ``values.may_use`` of a case, ``cheap`` or ``strong``, is the only one of both that its asker's key reaches.

    Args:
        gateway: The door to the models.
        clock: For durations.
        labels: What each model that may be chosen stands for, such as ``cheap``.
    """

    name = "router"
    aspects: tuple[Aspect, ...] = ("label",)
    is_exact = True

    def __init__(self, gateway: ModelGateway, clock: Clock, *, labels: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._clock = clock
        self._labels = labels

    async def identity(self) -> Mapping[str, object]:
        """The models between which it chooses."""
        return {"models": dict(self._labels)}

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """Which of them was chosen; one token of the reply is enough to know."""
        started = self._clock.monotonic()
        request = ChatRequest(model="auto", messages=(Message("user", inputs.question),), max_tokens=1)
        caller, reached = call.principal, inputs.values.get("may_use")
        if reached is not None:
            models = tuple(f"*{model}" for model, label in self._labels.items() if label == reached)
            caller = replace(caller, models=models)
        reply = await self._gateway.complete(
            request, msgspec.structs.replace(call, principal=caller, may_cache=False)
        )
        chosen = reply.headers.get("x-causeway-model", reply.model)
        label = self._labels.get(chosen.rpartition("/")[2], chosen)
        return Outcome(
            text=label,
            label=label,
            trace_id=reply.trace_id,
            model=reply.model,
            cost_micros=reply.cost_micros,
            took_ms=round((self._clock.monotonic() - started) * 1000),
        )


def _shown(hit: Hit) -> Shown:
    return Shown(
        path=hit.path,
        collection=hit.collection,
        heading=hit.heading,
        page=hit.page,
        text=hit.text,
        score=hit.score,
    )
