"""Questions that lean on what was said before, made to stand alone, so that they can be searched for.

Whether a question leans is decided by its words: asking a model costs a second or two, and most questions stand alone.
A model's rewriting is taken only when it makes nothing up and loses nothing: all its words come from the question and the
conversation, and the question's own words are in it. Otherwise the question before stands beside this one, which searches
almost as well (bench/results/follow_ups.md).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from causeway.contracts.chat import ChatRequest, Usage
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.money import Micros
from causeway.errors import CausewayError
from causeway.knowledge.answer.thinking import spoken
from causeway.prompts.shelf import Shelf

log = logging.getLogger(__name__)

PROMPT: Final = "follow_up"
_MOST_TURNS: Final = 3
"""What people lean on was said just before."""
_MOST_ANSWER_CHARS: Final = 400
_MOST_TOKENS: Final = 80
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_LEANS_AT_START = re.compile(
    r"\s*(?:and|but|or|so|then|also|what about|how about|what if|why|why not|how so|which ones?|same|und|et|y|e)\b",
    re.IGNORECASE,
)
_LEANING = re.compile(
    r"\b(?:it|its|they|them|theirs?|these|those|this|that|s?he|him|his|hers?|there|ones?|both|n?either|same|former"
    r"|latter|others?|another|else|instead|too)\b",
    re.IGNORECASE,
)
_LEANS = re.compile(f"{_LEANING.pattern}|about|but|so|then|also|not", re.IGNORECASE)
_FEW_WORDS: Final = 2
"""A question of fewer words of its own, such as 'How long?', leaves the rest to what was said."""
_FREE = re.compile(
    r"an?|and|any|are|as|at|be|been|by|can|could|d(?:o|id|oes)|for|from|ha(?:d|s|ve)|how|i[fns]?|into|may|me|much|many"
    r"|must|my|of|on|or|our|shall|should|than|that|the|there|to|us|was|we|were|wh(?:at|en|ere|ich|om?|ose|y)|will|with"
    r"|would|your?|long|often|far|old|large|big|heavy",
    re.IGNORECASE,
)
"""Words that a rewriting may bring in."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of the conversation, as it was understood, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standalone:
    """A question that stands alone, and what making it so has cost."""

    question: str
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int


def leans(question: str) -> bool:
    """Whether ``question`` seems to need what was said before."""
    if _LEANS_AT_START.match(question) or _LEANING.search(question):
        return True
    return sum(not _FREE.fullmatch(word) for word in _WORD.findall(question)) < _FEW_WORDS


async def standalone(
    question: str, before: Sequence[Exchange], *, gateway: ModelGateway, prompts: Shelf, call: Call
) -> Standalone:
    """``question`` as it would be asked without ``before``; as it is when it stands alone.

    A model that fails does not stop the question: it is then asked beside the one before.
    """
    if not before or not leans(question):
        return Standalone(question=question)
    prompt = prompts.get(PROMPT, key=call.conversation_id)
    recent = before[-_MOST_TURNS:]
    turns = [{"question": one.question, "answer": one.answer[:_MOST_ANSWER_CHARS]} for one in recent]
    request = ChatRequest(
        model="chat",
        messages=prompt.messages({"turns": turns, "question": question}),
        max_tokens=_MOST_TOKENS,
        temperature=0.0,
    )
    beside = Standalone(question=f"{before[-1].question} {question}")
    try:
        reply = await gateway.complete(
            request, msgspec.structs.replace(call, purpose="answer", prompt=prompt.reference)
        )
    except CausewayError as exc:
        log.warning("a follow-up is asked beside the question before", extra={"reason": exc.code})
        return beside
    said = spoken(reply.text).strip()
    rewritten = said.splitlines()[0].strip() if said else ""
    kept = rewritten if _is_faithful(rewritten, question, recent) else beside.question
    return Standalone(question=kept, usage=reply.usage, cost_micros=Micros(reply.cost_micros or 0))


def _is_faithful(rewritten: str, question: str, before: Sequence[Exchange]) -> bool:
    """Whether every word of ``rewritten`` was said, and no word of its own that ``question`` has is missing."""
    if not rewritten or len(rewritten) > len(question) + 300:
        return False
    new = _words(rewritten)
    said = _words(question).union(*(_words(f"{one.question} {one.answer}") for one in before))
    own = [word for word in _words(question) if not (_FREE.fullmatch(word) or _LEANS.fullmatch(word))]
    is_whole = all(any(_are_alike(word, other) for other in new) for word in own)
    return is_whole and all(
        _FREE.fullmatch(word) or any(_are_alike(word, other) for other in said) for word in new
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))


def _are_alike(word: str, other: str) -> bool:
    """The same word, or two forms of one: ``tent`` and ``tents``, ``Aster`` and ``Aster's``."""
    if any(letter.isdigit() for letter in word):
        return word == other
    shorter, longer = sorted((word, other), key=len)
    return shorter == longer or (len(shorter) >= 4 and longer.startswith(shorter[: max(4, len(shorter) - 2)]))
