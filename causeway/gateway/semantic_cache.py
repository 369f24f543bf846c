"""Finds a question that was asked before in other words, among those that differ in the question alone.

Questions of one partition (`causeway.gateway.cache_key`) are rows of a matrix in this process; a search is one product. With
a shared state the partition is a log there as well: every process adds to it and reads on from where it stopped, so all
know each other's questions. A question holds the key of its reply, not the reply. The nearest questions are compared word
by word before one counts as the same (`causeway.gateway.differences`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from causeway.contracts.clock import Clock
from causeway.contracts.vectors import Vectors
from causeway.gateway.cache_key import VERSION
from causeway.gateway.differences import Difference, find_difference
from causeway.gateway.lexicon import Lexicon
from causeway.gateway.wording import MOST_CHARACTERS, Wording, read
from causeway.seams import deferred
from causeway.storage.shared_state import SharedState

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

MOST_QUESTIONS = 1000
"""In one partition; the oldest goes first."""
_MOST_COMPARED = 8
"""Of the nearest questions, how many are read before the search is given up."""
_QUESTION_OVERHEAD_BYTES = 2500
"""What a question takes besides its vector and text, most of it its wording."""


@dataclass(frozen=True, slots=True)
class Near:
    """A question that was asked before: the key of its reply, how near it is, and what forbids to use that reply."""

    reply_key: str
    similarity: float
    difference: Difference | None


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    version: int
    ends_at: float
    reply_key: str
    question: str
    vector: bytes


_decoder = msgspec.msgpack.Decoder(_Asked)


class _Partition:
    """The questions of one partition: row i of ``matrix`` belongs to ``asked[i]``, oldest overwritten first."""

    def __init__(self, dimensions: int) -> None:
        self.matrix: Vectors = np.zeros((16, dimensions), np.float32)
        self.asked: list[_Asked] = []
        self.wordings: dict[int, Wording] = {}
        self.next = 0
        self.position = ""

    @property
    def size_bytes(self) -> int:
        """About what it takes."""
        return self.matrix.nbytes + len(self.asked) * _QUESTION_OVERHEAD_BYTES

    def add(self, asked: _Asked) -> None:
        """One more question; a vector of another length than the partition's is left out."""
        vector = np.frombuffer(asked.vector, np.float32)
        if len(vector) != self.matrix.shape[1]:
            return
        row = self.next
        if row == len(self.asked):
            if row == len(self.matrix):
                self.matrix = np.concatenate([self.matrix, np.zeros_like(self.matrix)])[:MOST_QUESTIONS]
            self.asked.append(asked)
        else:
            self.asked[row] = asked
            self.wordings.pop(row, None)
        self.matrix[row] = vector
        self.next = (row + 1) % MOST_QUESTIONS

    def nearest(self, vector: Vectors, at_least: float) -> Iterator[tuple[int, float]]:
        """Rows and cosines from ``at_least`` up, nearest first."""
        similarities = self.matrix[: len(self.asked)] @ vector
        found = np.flatnonzero(similarities >= at_least)
        for row in found[np.argsort(-similarities[found])]:
            yield int(row), float(similarities[row])


class SemanticCache:
    """The questions of all partitions.

    Args:
        lexicon: What words mean the same; asked for when the first questions are compared.
        clock: Tells when a question's time is over.
        most_bytes: For all partitions in this process; the least recently used makes room.
        shared: Where other processes' questions are; None keeps them in this one.
    """

    def __init__(
        self,
        *,
        lexicon: Callable[[], Lexicon],
        clock: Clock,
        most_bytes: int,
        shared: SharedState | None = None,
    ) -> None:
        self._lexicon = lexicon
        self._clock = clock
        self._most_bytes = most_bytes
        self._shared = shared
        self._partitions: OrderedDict[tuple[str, int], _Partition] = OrderedDict()
        self.size_bytes = 0

    def can_compare(self, question: str) -> bool:
        """Whether it is short enough to be read word by word."""
        return len(question) <= MOST_CHARACTERS

    async def find(self, partition: str, question: str, vector: Vectors, *, at_least: float) -> list[Near]:
        """The nearest questions with a cosine of ``at_least``, nearest first, up to the first that asks the same."""
        known = await self._known(partition, len(vector))
        now = self._clock.now().timestamp()
        wording: Wording | None = None
        found: list[Near] = []
        for row, similarity in known.nearest(vector, at_least):
            asked = known.asked[row]
            if asked.ends_at <= now:
                continue
            wording = wording or read(question, self._lexicon())
            if row not in known.wordings:
                known.wordings[row] = read(asked.question, self._lexicon())
            difference = find_difference(wording, known.wordings[row], self._lexicon(), similarity=similarity)
            found.append(Near(asked.reply_key, similarity, difference))
            if difference is None or len(found) == _MOST_COMPARED:
                break
        return found

    async def keep(
        self, partition: str, question: str, vector: Vectors, *, reply_key: str, ttl_s: float
    ) -> None:
        """Remember that ``question`` was answered by the reply under ``reply_key``."""
        asked = _Asked(
            version=VERSION,
            ends_at=self._clock.now().timestamp() + ttl_s,
            reply_key=reply_key,
            question=question,
            vector=np.asarray(vector, np.float32).tobytes(),
        )
        if self._shared is not None:
            value = msgspec.msgpack.encode(asked)
            await self._shared.append(_log_key(partition), value, ttl_s=ttl_s, most=MOST_QUESTIONS)
            return
        known = self._partition(partition, len(vector))
        self._measured(known, [asked])

    async def _known(self, partition: str, dimensions: int) -> _Partition:
        known = self._partition(partition, dimensions)
        if self._shared is not None:
            entries = await self._shared.entries(_log_key(partition), after=known.position)
            if entries:
                known.position = entries[-1][0]
                self._measured(
                    known, [asked for _, value in entries if (asked := _decode(value)) is not None]
                )
        return known

    def _partition(self, partition: str, dimensions: int) -> _Partition:
        key = (partition, dimensions)
        known = self._partitions.get(key)
        if known is None:
            known = self._partitions[key] = _Partition(dimensions)
            self.size_bytes += known.size_bytes
        self._partitions.move_to_end(key)
        return known

    def _measured(self, known: _Partition, more: list[_Asked]) -> None:
        """Add questions, and let go of partitions that no longer fit; the one in use stays."""
        before = known.size_bytes
        for asked in more:
            known.add(asked)
        self.size_bytes += known.size_bytes - before
        while self.size_bytes > self._most_bytes and len(self._partitions) > 1:
            oldest = next(iter(self._partitions))
            self.size_bytes -= self._partitions.pop(oldest).size_bytes


def _log_key(partition: str) -> str:
    return f"cache:asked:{partition}"


def _decode(value: bytes) -> _Asked | None:
    try:
        asked = _decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return asked if asked.version == VERSION and len(asked.vector) % 4 == 0 else None
