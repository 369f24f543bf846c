"""Answers that outlive a broken connection, and how their askers stop them all the same.

A page that loses its connection finds the whole answer in its conversation. A page that stops an answer says so, since a
closed connection alone does not tell one from the other. All this is in one process's memory: a stop that reaches
another process changes nothing, and the answer ends by itself within `OUTLIVES_S`.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

OUTLIVES_S: Final = 120.0
"""A small model writes a long answer in a minute."""


class Stops:
    """The answers of this process that can be stopped, as long as anybody writes them."""

    def __init__(self) -> None:
        self._expected: WeakValueDictionary[tuple[str, str], asyncio.Event] = WeakValueDictionary()

    def expect(self, asker: str, answer_id: str) -> asyncio.Event:
        """What is set when ``asker`` stops the answer; forgotten with its last user."""
        event = asyncio.Event()
        self._expected[asker, answer_id] = event
        return event

    def stop(self, asker: str, answer_id: str) -> None:
        """Stop an answer; nothing happens where there is none of that asker's."""
        event = self._expected.get((asker, answer_id))
        if event is not None:
            event.set()
