"""Checks citations while the answer streams, sentence by sentence.

A model's ``[n]`` is kept when passage n supports the sentence, and moved when only another passage does; a sentence that came
without one gets the mark of the passage that clearly supports it. A sentence that no passage supports is left out, unless
whoever asked for the check can say otherwise. So every sentence of an answer has been checked, and small models that forget
marks still give cited answers.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from causeway.knowledge.answer.events import Cited, TextDelta
from causeway.knowledge.answer.statements import Statement, statements
from causeway.knowledge.answer.support import Support, support, weight
from causeway.knowledge.search.request import Hit

KEEP_AT = 0.4
"""Least support at which a model's own mark is kept."""
ATTRIBUTE_AT = 0.6
"""Least support at which a mark is moved or added."""
_FULL_SENTENCE_WORDS = 3
"""A shorter stretch ('Yes.', '1.') is not checked by itself but with what follows."""

_MARK = re.compile(r"\[\s*(?:passages?\s*)?(\d+(?:\s*[,;]\s*(?:passages?\s*)?\d+)*)\s*\]", re.IGNORECASE)
_MARK_BEGUN = re.compile(r"\[[\s\d,;a-z]{0,24}\Z", re.IGNORECASE)
_ENDING = re.compile(r"[.!?:]+(?=[\s\[]|\Z)|\n")


Verify = Callable[[str, int], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that has been checked.

    Attributes:
        evidence: Passage number -> the statements of it that support the sentence; empty when none does.
    """

    text: str
    evidence: Mapping[int, tuple[Statement, ...]]


class CitedText:
    """Turns a model's text into checked text; feed it what arrives, then `finish`.

    Args:
        passages: The first is [1].
        question: The text answers.
        verify: Asked about a sentence whose words no passage has, and that nothing contradicts, with the number of the
            passage that comes nearest: whether that states it in other words. None leaves it to the words.
    """

    def __init__(self, passages: Sequence[Hit], question: str, verify: Verify | None = None) -> None:
        self._passages = passages
        self._statements = [statements(passage.text) for passage in passages]
        self._question = question
        self._verify = verify
        self._held = ""  # arrived, and not yet decided about
        self._sentence = ""  # the sentence under way, without marks
        self._shown = ""  # the same as it will be shown, with what comes before it
        self._marks: list[int] = []
        self._written: list[str] = []
        self.sentences: list[Sentence] = []
        self.citations: list[Cited] = []

    @property
    def text(self) -> str:
        """What has been given out."""
        return "".join(self._written)

    @property
    def left_out(self) -> int:
        """How many sentences had no support."""
        return sum(not sentence.evidence for sentence in self.sentences)

    async def feed(self, text: str) -> AsyncIterator[TextDelta | Cited]:
        """What ``text`` lets be given out."""
        self._held += text
        async for piece in self._drain(at_end=False):
            yield piece

    async def finish(self) -> AsyncIterator[TextDelta | Cited]:
        """What is left, when no more text comes."""
        async for piece in self._drain(at_end=True):
            yield piece
        async for piece in self._close_sentence(""):
            yield piece

    async def _drain(self, *, at_end: bool) -> AsyncIterator[TextDelta | Cited]:
        while self._held:
            mark, ending = _MARK.search(self._held), _ENDING.search(self._held)
            begun = None if at_end else _MARK_BEGUN.search(self._held)
            stop = min((found.start() for found in (mark, ending, begun) if found), default=None)
            if stop != 0:
                self._say(self._held[:stop])
                self._held = "" if stop is None else self._held[stop:]
            elif mark and mark.start() == 0:
                self._held = self._take_mark(mark, self._held)
            elif ending and ending.start() == 0:
                if not at_end and not self._held[ending.end() :].strip():
                    return  # a mark may yet follow the full stop
                async for piece in self._end_sentence(ending):
                    yield piece
            else:
                return

    def _say(self, text: str) -> None:
        self._sentence += text
        self._shown += text

    def _take_mark(self, mark: re.Match[str], text: str) -> str:
        """Note the numbers of ``mark``; what follows it in ``text``."""
        self._marks += [int(number) for number in re.findall(r"\d+", mark[1])]
        self._shown = self._shown.rstrip(" ")
        return text[mark.end() :]

    async def _end_sentence(self, ending: re.Match[str]) -> AsyncIterator[TextDelta | Cited]:
        rest = self._held[ending.end() :]
        while following := _MARK.match(
            rest.lstrip(" ")
        ):  # 'within 30 days. [1]' cites the sentence before it
            rest = self._take_mark(following, rest.lstrip(" "))
        self._held = rest
        if weight(self._sentence) < _FULL_SENTENCE_WORDS and ending[0] != "\n":
            self._say(ending[0])
            return
        async for piece in self._close_sentence(ending[0]):
            yield piece

    async def _close_sentence(self, ending: str) -> AsyncIterator[TextDelta | Cited]:
        """Give out the sentence under way when a passage supports it, or when it claims nothing."""
        sentence, shown = self._sentence.strip(), self._shown
        found = await self._found(sentence) if weight(sentence) else {}
        self._sentence, self._shown, self._marks = "", "", []
        if weight(sentence) and not ending.startswith(":"):
            self.sentences.append(Sentence(sentence, {n: self._evidence(n, found[n]) for n in found}))
            if not found:
                return
        known = {citation.n for citation in self.citations}
        fresh = [self._cite(n, support) for n, support in found.items() if n not in known]
        marks = "".join(f" [{n}]" for n in found)
        if not self._written:
            shown = shown.lstrip()
        if said := (shown.rstrip(" ") + marks + ending if marks or ending else shown):
            yield self._write(said)
        for citation in fresh:
            yield citation
        self.citations += fresh

    async def _found(self, sentence: str) -> dict[int, Support]:
        if (found := self._check(sentence)) or self._verify is None:
            return found
        marked = next((n for n in self._marks if 0 < n <= len(self._passages)), None)
        near = {n: self._support(sentence, n) for n in range(1, len(self._passages) + 1)}
        n = marked or max(near, key=lambda n: near[n].share, default=None)
        if n is None or near[n].is_contradicted or not await self._verify(sentence, n):
            return {}
        return {n: near[n]}

    def _check(self, sentence: str) -> dict[int, Support]:
        """The passages to cite for ``sentence``, and how far each supports it."""
        found = {n: self._support(sentence, n) for n in range(1, len(self._passages) + 1)}
        kept = {n: found[n] for n in dict.fromkeys(self._marks) if n in found and found[n].share >= KEEP_AT}
        if kept or not found:
            return kept
        best = max(found, key=lambda n: found[n].share)
        return {best: found[best]} if found[best].share >= ATTRIBUTE_AT else self._joined(sentence)

    def _support(self, sentence: str, *numbers: int) -> Support:
        """How far the passages of these numbers support ``sentence`` together."""
        heading = "\n".join(self._passages[n - 1].heading for n in numbers)
        said = [statement.words for n in numbers for statement in self._statements[n - 1]]
        return support(sentence, heading, said, given=self._question)

    def _joined(self, sentence: str) -> dict[int, Support]:
        """The two passages that support ``sentence`` only together: '£88 now, and £279 from September'."""
        pairs = combinations(range(1, len(self._passages) + 1), 2)
        found = {pair: self._support(sentence, *pair) for pair in pairs}
        pair = max(found, key=lambda pair: found[pair].share, default=None)
        if pair is None or found[pair].share < ATTRIBUTE_AT:
            return {}
        share, first = found[pair].share, len(self._statements[pair[0] - 1])
        return {
            pair[0]: Support(share, tuple(one for one in found[pair].statements if one < first)),
            pair[1]: Support(share, tuple(one - first for one in found[pair].statements if one >= first)),
        }

    def _evidence(self, n: int, found: Support) -> tuple[Statement, ...]:
        return tuple(self._statements[n - 1][number] for number in sorted(found.statements))

    def _cite(self, n: int, found: Support) -> Cited:
        hit = self._passages[n - 1]
        has_quote = bool(found.statements)
        quote = self._statements[n - 1][found.statements[0]].quote if has_quote else hit.text.strip()
        return cited(n, hit, quote, found.share)

    def _write(self, text: str) -> TextDelta:
        self._written.append(text)
        return TextDelta(text=text)


def cited(n: int, hit: Hit, quote: str, share: float) -> Cited:
    """The citation [n] of ``hit``, for a sentence of whose words ``quote`` has ``share``."""
    return Cited(
        n=n,
        document_id=hit.document_id,
        chunk_id=hit.chunk_id,
        ordinal=hit.ordinal,
        title=hit.title,
        source=hit.source,
        path=hit.path,
        page=hit.page,
        heading=hit.heading,
        quote=quote,
        score=round(share, 3),
        revision=hit.revision,
        places=hit.places,
    )
