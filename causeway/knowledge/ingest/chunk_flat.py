"""Strategies that fill chunks from a row of units, whatever the document's sections are.

``fixed`` takes words until a chunk is full, ``recursive`` blocks, then lines, sentences and words of those that are too
long, ``sentence`` whole sentences. All say a table's header again where a table goes on, put the document's title
above each chunk, and can repeat the end of one chunk at the beginning of the next. The names are those of the libraries
that made these strategies common; ``bench/results/chunking.md`` has what each is worth on real questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from causeway.knowledge.document import Block, Chunk
from causeway.knowledge.ingest.chunk_text import CountedText, Counter, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long chunks are, in tokens; see `causeway.knowledge.collection_options.Chunking`."""

    max_tokens: int
    overlap_tokens: int = 0


def fixed(counter: Counter, blocks: Sequence[Block], *, title: str, size: Size) -> tuple[Chunk, ...]:
    """Chunks of as many words as fit, wherever that ends."""
    filling = Filling(counter, blocks, heading=title, size=size, keeps_headings=False)
    return filling.chunks(filling.text.words(filling.room))


def recursive(counter: Counter, blocks: Sequence[Block], *, title: str, size: Size) -> tuple[Chunk, ...]:
    """Chunks of as many whole blocks as fit; longer blocks by lines, sentences, words."""
    filling = Filling(counter, blocks, heading=title, size=size)
    return filling.chunks(filling.text.blocks(filling.room))


def sentence(counter: Counter, blocks: Sequence[Block], *, title: str, size: Size) -> tuple[Chunk, ...]:
    """Chunks of as many whole sentences as fit."""
    filling = Filling(counter, blocks, heading=title, size=size)
    return filling.chunks(filling.text.sentences(filling.room))


class Filling:
    """Chunks being filled from the units of one document."""

    def __init__(
        self,
        counter: Counter,
        blocks: Sequence[Block],
        *,
        heading: str,
        size: Size,
        keeps_headings: bool = True,
    ) -> None:
        """``keeps_headings``: no chunk ends on a heading that has text below it."""
        self._counter = counter
        self._size = size
        self._keeps_headings = keeps_headings
        self._heading = counter.shortened(" ".join(heading.split()), size.max_tokens)
        self.text: CountedText = counter.text(blocks)
        self.room = max(1, size.max_tokens - counter.count(f"{self._heading}\n"))
        """Tokens that a chunk has for text."""

    def chunks(self, units: Iterator[Unit], breaks: frozenset[Unit] = frozenset()) -> tuple[Chunk, ...]:
        """The chunks of ``units``; one begins before each unit of ``breaks``."""
        found: list[Chunk] = []
        for group in self._groups(units, breaks):
            found += self._fitting(group)
        return tuple(replace(chunk, ordinal=ordinal) for ordinal, chunk in enumerate(found))

    def _groups(self, units: Iterator[Unit], breaks: frozenset[Unit]) -> Iterator[list[Unit]]:
        group: list[Unit] = []
        fresh = length = 0  # units of `group` that no chunk has had; tokens of all
        for unit in units:
            cost = self.text.cost(unit, group[-1] if group else None)
            if fresh and (length + cost > self.room or unit in breaks):
                kept = self._without_last_headings(group) if unit not in breaks else group
                yield kept
                repeated = [] if unit in breaks else self._overlap(kept, unit)
                group = [*repeated, *group[len(kept) :]]
                fresh = len(group) - len(repeated)
                length = self._length(group)
                cost = self.text.cost(unit, group[-1] if group else None)
                if length + cost > self.room and not fresh:
                    group, length, cost = [], 0, self.text.cost(unit, None)
            group.append(unit)
            fresh += 1
            length += cost
        if fresh:
            yield group

    def _without_last_headings(self, group: list[Unit]) -> list[Unit]:
        end = len(group)
        while self._keeps_headings and end and group[end - 1].is_heading:
            end -= 1
        return group[:end] or group

    def _overlap(self, group: Sequence[Unit], following: Unit) -> list[Unit]:
        """The last units of ``group`` that fit into what is repeated, and leave room for the next one."""
        most = min(self._size.overlap_tokens, self.room - self.text.cost(following, None))
        kept: list[Unit] = []
        for unit in reversed(group):
            if self._length([unit, *kept]) > most:
                break
            kept.insert(0, unit)
        return kept if len(kept) < len(group) else kept[1:]

    def _length(self, units: Sequence[Unit]) -> int:
        befores = [None, *units[:-1]]
        return sum(self.text.cost(unit, before) for unit, before in zip(units, befores, strict=False))

    def _fitting(self, group: Sequence[Unit]) -> Iterator[Chunk]:
        """The chunk with its exact count, halved should its parts have more tokens together than apart."""
        text = self.text.write(group)
        tokens = self._counter.count(f"{self._heading}\n{text}")
        if tokens > self._size.max_tokens and len(group) > 1:
            half = len(group) // 2
            yield from self._fitting(group[:half])
            yield from self._fitting(group[half:])
            return
        if (
            tokens > self._size.max_tokens
        ):  # a header repeated above a row of its own that is too long with it
            text = self.text.write(group, repeats_headers=False)
            tokens = self._counter.count(f"{self._heading}\n{text}")
        if tokens > self._size.max_tokens and group[0].end - group[0].start > 1:
            one = group[0]
            middle = self.text.middle(one)
            yield from self._fitting([replace(one, end=middle)])
            yield from self._fitting([replace(one, start=middle)])
            return
        if text:
            yield Chunk(
                ordinal=0,
                heading=self._heading,
                text=text,
                page=self.text.page(group),
                tokens=tokens,
                places=self.text.places(group),
            )
