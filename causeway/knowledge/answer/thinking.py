"""Keeps a model's chain of thought apart from its answer, as it streams.

Servers that know a model's marks send its thoughts apart (`ChatChunk.reasoning`), and nobody reads them here. Others pass
them on inside the text, between ``<think>`` and ``</think>``. Some chat templates begin inside, so that only the end is
seen: a whole reply is then cut at it; of a stream, the sentences before it find no support and are left out.
"""

from __future__ import annotations

import re
from typing import Final

_OPEN: Final = re.compile(r"<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_CLOSE: Final = re.compile(r"</(?:think|thinking|thought|reasoning)>\s*", re.IGNORECASE)
_BEGUN: Final = re.compile(r"<[/a-z]{0,11}\Z", re.IGNORECASE)


class Spoken:
    """What a model says aloud; feed it what arrives, then `finish`."""

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False

    def feed(self, text: str) -> str:
        """What of ``text``, and of what was held back, is said aloud."""
        self._held += text
        said = ""
        while True:
            mark = (_CLOSE if self._is_thinking else _OPEN).search(self._held)
            if mark is None:
                return said + self._release()
            said += "" if self._is_thinking else self._held[: mark.start()]
            self._held = self._held[mark.end() :]
            self._is_thinking = not self._is_thinking

    def finish(self) -> str:
        """What is left when no more text comes; a thought without an end stays unsaid."""
        said = "" if self._is_thinking else self._held
        self._held = ""
        return said

    def _release(self) -> str:
        begun = _BEGUN.search(self._held)
        stop = begun.start() if begun else len(self._held)
        said, self._held = self._held[:stop], self._held[stop:]
        return "" if self._is_thinking else said


def spoken(text: str) -> str:
    """A whole reply without its thoughts, those that have only an end included."""
    end = list(_CLOSE.finditer(text))
    if end and not _OPEN.search(text):
        return text[end[-1].end() :]
    aloud = Spoken()
    return aloud.feed(text) + aloud.finish()
