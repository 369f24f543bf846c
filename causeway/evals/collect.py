"""Cases out of what people asked and voted on.

A correction becomes the reference; an answer that was liked is one itself, and what it cited are gold documents. Facts are
for a person to add: which words of an answer matter, no vote tells. The cases keep the words of whoever asked; look through
them before they are shared.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from causeway.errors import NotFoundError
from causeway.evals.suite import Case, Expected, Inputs, Metadata
from causeway.knowledge import Document
from causeway.observability import genai_names as names
from causeway.observability.feedback import Vote
from causeway.observability.trace_store import SpanRecord, Trace

log = logging.getLogger(__name__)

_CITATIONS: Final = "causeway.citations"


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
        root = next((span for span in trace.spans if names.QUESTION in span.attributes), None)
        question = str(root.attributes[names.QUESTION]).strip() if root else ""
        if root is None or not question or question in cases:
            continue
        cases[question] = _case(vote, root, question, await _cited(trace, root, library))
    return list(cases.values())


def _case(vote: Vote, root: SpanRecord, question: str, cited: Sequence[str]) -> Case:
    is_refused = bool(root.attributes.get(names.REFUSED))
    answer = str(root.attributes.get(names.ANSWER, ""))
    liked = answer if vote.is_up and not is_refused else None
    return Case(
        name=f"voted {vote.trace_id[:12]}",
        inputs=Inputs(question=question),
        expected_output=Expected(reference=vote.correction or liked, refused=vote.is_up and is_refused),
        metadata=Metadata(
            documents=tuple(cited) if liked else (),
            tags=("voted up" if vote.is_up else "voted down", *(("corrected",) if vote.correction else ())),
            page=cited[0] if cited else None,
            origin=vote.trace_id,
        ),
    )


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
