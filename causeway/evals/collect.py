"""Cases out of what people asked and voted on.

A correction becomes the reference; an answer that was liked is one itself, and what it cited are gold documents. Which
words of an answer matter no vote tells: `facts_of` proposes its numbers, dates and codes, and a person decides. The cases
keep the words of whoever asked; look through them before they are shared.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from causeway.errors import NotFoundError
from causeway.evals.suite import Case, Expected, Inputs, Metadata
from causeway.knowledge import Document
from causeway.observability import genai_names as names
from causeway.observability.feedback import Vote
from causeway.observability.trace_store import SpanRecord, Trace

log = logging.getLogger(__name__)

_CITATIONS: Final = "causeway.citations"
_UNDERSTOOD: Final = "causeway.understood"
_MARK: Final = re.compile(r"\s*\[\d{1,2}\]|\*\*|`")
_MONTH: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_FACT: Final = re.compile(
    rf"""
    \d{{1,2}}(?:st|nd|rd|th)?\s{_MONTH}(?:\s\d{{4}})?           # 30 June 2026
    | {_MONTH}\s\d{{1,2}}(?:,?\s\d{{4}})?                       # June 30, 2026
    | \d{{4}}-\d{{2}}-\d{{2}}
    | [£$€]\s?\d[\d.,]*\d|[£$€]\s?\d                          # £3.95
    | \b[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+\b|\b[A-Z]-?\d{{3,}}\b    # FS-TNT-210, E-4017
    | \b\d[\d.,]*(?:\s?(?:%|per\scent\b)|\s?[a-zA-Z]+\b)?     # 45 days, 4 %
    """,
    re.VERBOSE,
)
_SHORT_FACT: Final = 60
_MOST_FACTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a trace knows of a question to the knowledge base.

    Attributes:
        question: As it was asked.
        understood: As it was searched for: a follow-up stands alone in it.
        collection: The one that was asked; None where it was all.
        cited: The chunks that the answer cites, in order.
        documents: The paths of their documents, as far as they are still there.
    """

    question: str
    understood: str
    answer: str
    is_refused: bool
    collection: str | None
    cited: tuple[str, ...]
    documents: tuple[str, ...]


class Traces(Protocol):
    """`causeway.observability.trace_store.TraceStore`."""

    async def trace(self, trace_id: str) -> Trace:
        """One whole trace."""
        ...


class Documents(Protocol):
    """`causeway.knowledge.Library`."""

    async def document(self, document_id: str) -> Document:
        """One document."""
        ...


async def collect(votes: Iterable[Vote], *, traces: Traces, library: Documents) -> list[Case]:
    """A case for each question, by its newest vote; questions whose content was not kept are left out.

    Args:
        votes: Newest first.
        traces: Where the questions and answers are.
        library: Where the documents that were cited are.
    """
    cases: dict[str, Case] = {}
    for vote in votes:
        try:
            trace = await traces.trace(vote.trace_id)
        except NotFoundError:
            log.info("a vote's trace is gone", extra={"trace_id": vote.trace_id})
            continue
        asked = await asked_in(trace, library)
        if asked is None or asked.question in cases:
            continue
        cases[asked.question] = draft_case(vote, asked)
    return list(cases.values())


async def collect_asked(
    trace_ids: Iterable[str], *, traces: Traces, library: Documents, known: Iterable[Case] = ()
) -> list[Case]:
    """A case for every question of these traces that none of ``known`` asks; what is not kept is left out."""
    seen, cases = {case.inputs.question for case in known}, []
    for trace_id in trace_ids:
        try:
            asked = await asked_in(await traces.trace(trace_id), library)
        except NotFoundError:
            continue  # its time is over
        if asked is not None and asked.question not in seen:
            seen.add(asked.question)
            cases.append(unvoted_case(trace_id, asked))
    return cases


async def asked_in(trace: Trace, library: Documents) -> Asked | None:
    """The question that a trace is of; None when it asks nothing, or content was not kept."""
    root = next((span for span in trace.spans if names.QUESTION in span.attributes), None)
    question = str(root.attributes[names.QUESTION]).strip() if root else ""
    if root is None or not question:
        return None
    sources = (span.attributes.get(names.DATA_SOURCE) for span in trace.spans)
    return Asked(
        question=question,
        understood=str(root.attributes.get(_UNDERSTOOD) or question),
        answer=str(root.attributes.get(names.ANSWER, "")),
        is_refused=bool(root.attributes.get(names.REFUSED)),
        collection=next((str(source) for source in sources if source), None),
        cited=tuple(
            dict.fromkeys(str(each["chunk_id"]) for each in _listed(root.attributes.get(_CITATIONS)))
        ),
        documents=tuple(await _cited(trace, root, library)),
    )


def draft_case(vote: Vote, asked: Asked) -> Case:
    """The case that a vote makes of a question, as far as the vote tells."""
    liked = asked.answer if vote.is_up and not asked.is_refused else None
    return Case(
        name=f"voted {vote.trace_id[-12:]}",
        inputs=Inputs(question=asked.question, collection=asked.collection),
        expected_output=Expected(reference=vote.correction or liked, refused=vote.is_up and asked.is_refused),
        metadata=Metadata(
            documents=asked.documents if liked else (),
            tags=("voted up" if vote.is_up else "voted down", *(("corrected",) if vote.correction else ())),
            page=asked.documents[0] if asked.documents else None,
            origin=vote.trace_id,
        ),
    )


def unvoted_case(trace_id: str, asked: Asked) -> Case:
    """The case of an answer that nobody voted on: what it cites are gold documents if whoever makes the case agrees."""
    return Case(
        name=f"asked {trace_id[-12:]}",
        inputs=Inputs(question=asked.question, collection=asked.collection),
        metadata=Metadata(documents=asked.documents, tags=("asked",), origin=trace_id),
    )


def facts_of(right: str) -> list[str]:
    """What a right answer probably has to say: its dates, amounts, numbers with their units and codes, else itself.

    A proposal for whoever makes a case of it.
    """
    plain = _MARK.sub("", right).strip()
    found = list(dict.fromkeys(" ".join(match[0].split()).strip(" .,") for match in _FACT.finditer(plain)))
    if found:
        return found[:_MOST_FACTS]
    return [plain.rstrip(".")] if plain and len(plain) <= _SHORT_FACT else []


async def _cited(trace: Trace, root: SpanRecord, library: Documents) -> list[str]:
    """The paths of the documents that the answer cited."""
    wanted = {str(each["chunk_id"]) for each in _listed(root.attributes.get(_CITATIONS))}
    shown = [each for span in trace.spans for each in _listed(span.attributes.get(names.RETRIEVAL_DOCUMENTS))]
    paths = []
    for document_id in dict.fromkeys(
        str(each["document_id"]) for each in shown if str(each.get("id")) in wanted
    ):
        try:
            paths.append((await library.document(document_id)).path)
        except NotFoundError:
            continue  # deleted since
    return paths


def _listed(value: object) -> list[Mapping[str, Any]]:
    """Spans keep lists of mappings as JSON."""
    found = json.loads(value) if isinstance(value, str) else value
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
