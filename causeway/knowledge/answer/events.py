"""What an answer is made of, in the order it arrives: passages, then text and citations, then how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from causeway.contracts.chat import Usage
from causeway.contracts.money import Micros
from causeway.knowledge.answer.answerability import Signals
from causeway.knowledge.document import Place
from causeway.knowledge.search.facets import FacetValue
from causeway.knowledge.search.request import Hit


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """The passages the answer is written from, the first is [1]; and how the question was read.

    Attributes:
        question: It stands alone: a follow-up is understood from what was said before.
        understood: As `causeway.knowledge.search.request.SearchResult` has it, like ``facets``.
    """

    hits: tuple[Hit, ...]
    question: str = ""
    understood: Mapping[str, object] = field(default_factory=dict)
    facets: Mapping[str, tuple[FacetValue, ...]] = field(default_factory=dict)
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """The next piece of the answer, a checked sentence or a quote with its marks such as ``[1]``."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """A passage that the answer has just cited for the first time.

    Attributes:
        n: The number in the text.
        revision: The document's that was cited: it stays to be opened when a newer one has replaced it.
        ordinal: The chunk's place in its document: ``/documents/ID#chunk-ORDINAL``.
        quote: The passage's sentence that supports the citing one best.
        score: The share of the citing sentence's words that the passage has, in [0, 1].
        places: Where the passage stands on its pages; empty where that is not known.
    """

    n: int
    document_id: str
    chunk_id: str
    ordinal: int
    title: str
    source: str
    path: str
    page: int | None
    heading: str
    quote: str
    score: float
    revision: int = 1
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of an answer.

    Attributes:
        question: As it was understood: a follow-up stands alone in it.
        answer: The whole text, and the refusal's words when ``refused``.
        signals: What was known of whether the passages answer; None when none was about what the question names.
        is_sure: Whether it came without a caution.
        left_out: Sentences of the model that no passage supported.
    """

    answer: str
    refused: bool
    citations: tuple[Cited, ...]
    trace_id: str
    conversation_id: str | None
    usage: Usage
    cost_micros: Micros
    model: str
    took_ms: int
    question: str = ""
    signals: Signals | None = None
    is_sure: bool = True
    left_out: int = 0


AnswerEvent = Retrieved | TextDelta | Cited | Finished
