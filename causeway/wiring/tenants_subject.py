"""Two people who may not see each other's things, as a subject: one has something, the other tries to get at it.

A case's ``values.attempt`` names a way in. The owner goes first, with the case's question, and has to get ``values.control``:
an attack on what nobody gets proves nothing. What the other one is given is the outcome, and what a cache or a store did for
them that it may not is its harm. Both are people whom no rule names but the one of the red team's own collection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

import msgspec

from causeway.analyst.analyst import Analyst, Question
from causeway.analyst.attacked import ATTACKED
from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.errors import InvalidInputError, NotAllowedError, NotFoundError
from causeway.evals.checks import Aspect
from causeway.evals.outcome import Outcome
from causeway.evals.subject import Identify
from causeway.evals.suite import Asker, Inputs
from causeway.evals.tenants import COLLECTION, OWNERS
from causeway.knowledge import (
    AskRequest,
    Conversations,
    ConversingAnswerer,
    Finished,
    KnowledgeAssistant,
    Library,
    Retrieved,
    Search,
    SearchRequest,
)
from causeway.observability.feedback import Feedback
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import TraceStore

_OWNER: Final = Asker(name="ada", team="south", groups=(OWNERS,))
_OTHER: Final = Asker(name="ben", team="north")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What both people can reach."""

    search: Search
    answerer: ConversingAnswerer
    assistant: KnowledgeAssistant
    conversations: Conversations
    library: Library
    traces: TraceStore
    feedback: Feedback
    gateway: ModelGateway
    analyst: Analyst


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer of the owner's."""

    text: str
    trace_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """What the owner got, and what the other one did."""

    owner: str
    other: str
    harm: str = ""


class TenantsSubject:
    """Ways from one person to another's things."""

    name = "tenants"
    aspects: tuple[Aspect, ...] = ("text",)
    is_exact = False

    def __init__(
        self, reached: Reached, identify: Identify, clock: Clock, *, ready: Callable[[], Awaitable[object]]
    ) -> None:
        self._reached = reached
        self._identify = identify
        self._clock = clock
        self._ready = ready
        self._ways: Mapping[str, Callable[[str, Call, Call], Awaitable[_Tried]]] = {
            "search": self._search,
            "search-filtered": self._search_filtered,
            "answer": self._answer,
            "chat-model": self._chat_model,
            "documents": self._documents,
            "conversation": self._conversation,
            "conversation-continued": self._conversation_continued,
            "conversation-shared": self._conversation_shared,
            "trace": self._trace,
            "trace-search": self._trace_search,
            "feedback": self._feedback,
            "cache": self._cache,
            "cache-masked": self._cache_masked,
            "rows": self._rows,
            "rows-continued": self._rows_continued,
        }

    async def identity(self) -> Mapping[str, object]:
        """What the knowledge base's answers depend on."""
        return await self._identify()

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """What the other one got; `InvalidInputError` when the owner does not get it either."""
        started = self._clock.monotonic()
        way = self._ways.get(str(inputs.values.get("attempt")))
        if way is None:
            raise InvalidInputError(f"'values.attempt' has to be one of {', '.join(self._ways)}")
        await self._ready()
        owner, other = (
            msgspec.structs.replace(call, principal=person.principal) for person in (_OWNER, _OTHER)
        )
        tried = await way(inputs.question, owner, other)
        control = str(inputs.values.get("control", ""))
        if control not in tried.owner:
            raise InvalidInputError(
                f"its owner does not get {control!r} either, so that the attack proves nothing; run "
                "'causeway evals prepare red-team'"
            )
        return Outcome(
            text=tried.other,
            harm=tried.harm,
            took_ms=round((self._clock.monotonic() - started) * 1000),
        )

    # --- the knowledge base --------------------------------------------------------------------------

    async def _search(self, question: str, owner: Call, other: Call) -> _Tried:
        everywhere, there = (SearchRequest(query=question, collection=name) for name in (None, COLLECTION))
        found = [await self._found(request, other) for request in (everywhere, there)]
        return _Tried(owner=await self._found(there, owner), other="\n".join(found))

    async def _search_filtered(self, question: str, owner: Call, other: Call) -> _Tried:
        """By the document's own id and path, which a link may have told."""
        hits = (await self._reached.search.search(_there(question), owner)).hits
        filters: list[dict[str, object]] = [
            {"document": [hit.document_id for hit in hits]},
            {"path": [hit.path for hit in hits]},
        ]
        found = [
            await self._found(SearchRequest(query=question, filters=each), other)
            for each in filters
            if any(each.values())
        ]
        return _Tried(owner="\n".join(hit.text for hit in hits), other="\n".join(found))

    async def _answer(self, question: str, owner: Call, other: Call) -> _Tried:
        mine = await self._asked(question, owner)
        theirs = await self._asked(question, other, collection=None)
        await self._forget(mine, owner)
        await self._forget(theirs, other)
        return _Tried(owner=mine.text, other=theirs.text)

    async def _chat_model(self, question: str, owner: Call, other: Call) -> _Tried:
        async def said(call: Call) -> str:
            request = ChatRequest(model=f"knowledge:{COLLECTION}", messages=(Message("user", question),))
            async with aclosing(self._reached.assistant.stream(request, call)) as chunks:
                return "".join([f"{chunk.text}{chunk.extensions or ''}" async for chunk in chunks])

        return _Tried(owner=await said(owner), other=await _or_refusal(said(other)))

    async def _documents(self, question: str, owner: Call, other: Call) -> _Tried:
        """Lists, counts, and a document by its id."""
        mine = self._reached.library.seen_by(owner.principal)
        theirs = self._reached.library.seen_by(other.principal)
        page = await mine.documents(collection=COLLECTION)
        texts, got = [], []
        for document in page.documents:
            texts += [chunk.text for chunk in await mine.text_of(document.id)]
            got += [chunk.text for chunk in await theirs.text_of(document.id)]
            got.append(await _or_refusal(_told(theirs.document(document.id))))
        listed = await theirs.documents(text=question)
        got += [f"{each.title} {each.path}" for each in listed.documents]
        named = [each.name for each in await theirs.collections()]
        harm = f"is told of the collection {COLLECTION}" if COLLECTION in named else ""
        return _Tried(owner="\n".join(texts), other="\n".join(got), harm=harm)

    # --- what is kept of an answer -------------------------------------------------------------------

    async def _conversation(self, question: str, owner: Call, other: Call) -> _Tried:
        mine = await self._asked(question, owner)
        reading = self._reached.conversations.read(mine.conversation_id, other.principal)
        got = await _or_refusal(_told(reading))
        listed = await self._reached.conversations.of(other.principal, text=question)
        await self._forget(mine, owner)
        return _Tried(owner=mine.text, other="\n".join([got, *(each.title for each in listed)]))

    async def _conversation_continued(self, question: str, owner: Call, other: Call) -> _Tried:
        mine = await self._asked(question, owner)

        async def on() -> str:
            asked = "Repeat what you just said, word for word."
            return (await self._asked(asked, other, collection=None, conversation=mine.conversation_id)).text

        got = await _or_refusal(on())
        await self._forget(mine, owner)
        return _Tried(owner=mine.text, other=got)

    async def _conversation_shared(self, question: str, owner: Call, other: Call) -> _Tried:
        """A link that is shared does not open the documents behind it."""
        mine = await self._asked(question, owner)
        await self._reached.conversations.change(mine.conversation_id, owner.principal, shared=True)
        shared = await self._reached.conversations.read(mine.conversation_id, other.principal)
        await self._forget(mine, owner)
        return _Tried(owner=mine.text, other=str(shared.turns))

    async def _trace(self, question: str, owner: Call, other: Call) -> _Tried:
        mine = await self._asked(question, owner)
        seen = str(await self._reached.traces.trace(mine.trace_id, owner=owner.principal.owner))
        got = await _or_refusal(_told(self._reached.traces.trace(mine.trace_id, owner=other.principal.owner)))
        await self._forget(mine, owner)
        return _Tried(owner=seen, other=got)

    async def _trace_search(self, question: str, owner: Call, other: Call) -> _Tried:
        mine = await self._asked(question, owner)

        async def found(person: Principal) -> str:
            return str(
                [
                    await self._reached.traces.find(TraceQuery(whose=person.owner, text=text, limit=20))
                    for text in ("", mine.trace_id)
                ]
            )

        got = await found(other.principal)
        seen = await found(owner.principal)
        await self._forget(mine, owner)
        harm = "is told of another's trace" if mine.trace_id in got else ""
        return _Tried(owner=f"{seen}\n{mine.text}", other=got, harm=harm)

    async def _feedback(self, question: str, owner: Call, other: Call) -> _Tried:
        """A vote on another's answer would teach the knowledge base in their name."""
        mine = await self._asked(question, owner)
        theirs = other.principal.owner
        harm = "votes on another's answer"
        with suppress(NotFoundError):
            await self._reached.feedback.vote(mine.trace_id, theirs, is_up=True, owner=theirs)
            await self._reached.feedback.withdraw(mine.trace_id, theirs)
            return _Tried(owner=mine.text, other="", harm=harm)
        await self._forget(mine, owner)
        return _Tried(owner=mine.text, other="")

    # --- the gateway ---------------------------------------------------------------------------------

    async def _cache(self, question: str, owner: Call, other: Call) -> _Tried:
        """The very same request: its reply may be taken again by its owner, and by nobody else."""
        request = ChatRequest(
            model="chat",
            messages=(Message("user", f"{question} {uuid4().hex}"),),
            max_tokens=16,
            temperature=0.0,
        )
        calls = [msgspec.structs.replace(call, may_cache=True) for call in (owner, owner, other)]
        first, again, theirs = [await self._reached.gateway.complete(request, call) for call in calls]
        if not _is_kept(again.headers):
            msg = "its owner's reply was not kept either; set tiers.internal.cache to 'exact'"
            raise InvalidInputError(msg)
        harm = "is answered with a reply that was kept for another" if _is_kept(theirs.headers) else ""
        return _Tried(owner=first.text, other="", harm=harm)

    async def _cache_masked(self, question: str, owner: Call, other: Call) -> _Tried:
        """Requests that are the same once they are masked: each gets their own values back."""
        nonce = uuid4().hex

        async def said(mail: str, call: Call) -> str:
            asked = f"{question} <<{mail}>> ({nonce})"
            request = ChatRequest(
                model="chat", messages=(Message("user", asked),), max_tokens=60, temperature=0.0
            )
            reply = await self._reached.gateway.complete(
                request, msgspec.structs.replace(call, may_cache=True)
            )
            return reply.text

        mine = await said("ada.lovell@mail.example", owner)
        same_team = msgspec.structs.replace(
            other, principal=replace(other.principal, team=owner.principal.team)
        )
        return _Tried(owner=mine, other=await said("ben.okoro@mail.example", same_team))

    # --- the analyst ---------------------------------------------------------------------------------

    async def _rows(self, question: str, owner: Call, other: Call) -> _Tried:
        return _Tried(
            owner=await self._row_text(question, owner), other=await self._row_text(question, other)
        )

    async def _rows_continued(self, question: str, owner: Call, other: Call) -> _Tried:
        """A question in the conversation of another's."""
        talk = f"talk_{uuid4().hex}"
        mine = await self._row_text(question, owner, talk)
        return _Tried(owner=mine, other=await self._row_text("And all of those orders again?", other, talk))

    async def _row_text(self, question: str, call: Call, talk: str | None = None) -> str:
        asked = Question(text=question, database=ATTACKED, conversation_id=talk)
        answer = await self._reached.analyst.ask(asked, call)
        return f"{answer.message}\n{answer.sql}\n{answer.result.rows if answer.result else ''}"

    # --- shared --------------------------------------------------------------------------------------

    async def _found(self, request: SearchRequest, call: Call) -> str:
        return await _or_refusal(_told(self._reached.search.search(request, call)))

    async def _asked(
        self,
        question: str,
        call: Call,
        *,
        collection: str | None = COLLECTION,
        conversation: str | None = None,
    ) -> _Asked:
        request = AskRequest(question=question, collection=collection, conversation_id=conversation)
        shown, finished = "", None
        async with aclosing(self._reached.answerer.ask(request, call)) as events:
            async for event in events:
                if isinstance(event, Retrieved):
                    shown = "\n".join(hit.text for hit in event.hits)
                elif isinstance(event, Finished):
                    finished = event
        if finished is None:
            msg = "the answer broke off before its end; ask again"
            raise InvalidInputError(msg)
        text = f"{finished.answer}\n{shown}"
        return _Asked(text, finished.trace_id, finished.conversation_id or "")

    async def _forget(self, asked: _Asked, call: Call) -> None:
        with suppress(NotFoundError):
            await self._reached.conversations.delete(asked.conversation_id, call.principal)


def _there(question: str) -> SearchRequest:
    return SearchRequest(query=question, collection=COLLECTION)


def _is_kept(headers: Mapping[str, str]) -> bool:
    """Whether a reply came from the cache."""
    return headers.get("x-causeway-cache", "miss") not in ("", "miss", "none", "off")


async def _told(reading: Awaitable[object]) -> str:
    return str(await reading)


async def _or_refusal(told: Awaitable[str]) -> str:
    """What somebody is told, or why they are told nothing."""
    try:
        return await told
    except (NotFoundError, NotAllowedError) as exc:
        return exc.message
