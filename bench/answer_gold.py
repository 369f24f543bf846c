"""A chat model that reads perfectly, in place of a strong one: what search or the checks then lose is theirs alone.

It says yes when the passages that it is shown have every fact of the answer, and writes the statements that have them, each
with its mark. It knows nothing that it is not shown.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from bench.answer_cache import RememberingGateway
from causeway.contracts.chat import ChatChunk, ChatRequest, StopReason, Usage
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Relevance, RerankRequest

_PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


class GoldGateway:
    """A gateway whose chat model answers from the questions' facts; everything else is the gateway's it is made from.

    Args:
        gateway: For relevance.
        questions: Question -> its line of the questions' file.
        has: Whether a text has a fact, said in one of its ways.
    """

    def __init__(
        self,
        gateway: RememberingGateway,
        questions: Mapping[str, dict[str, Any]],
        has: Callable[[str, str | list[str]], bool],
    ) -> None:
        self._gateway = gateway
        self._questions = questions
        self._has = has

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        """See `ModelGateway.rerank`."""
        return await self._gateway.rerank(request, call)

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """See `ModelGateway.stream`; nobody's call is billed."""
        del call
        prompt = request.messages[-1].text
        if "\nSentence: " in prompt:
            said = "no"  # it writes only what the passages have, so words suffice
        else:
            asked = prompt.rpartition("\nQuestion: ")[2].splitlines()[0]
            lines = self._telling(self._questions[asked]["facts"], prompt)
            said = "yes" if lines else "no"
            if "yes or no" not in prompt:
                said = " ".join(lines)
        yield ChatChunk(text=said, model="gold")
        yield ChatChunk(stop_reason=StopReason.END, usage=Usage(0, 0), model="gold")

    def _telling(self, facts: Sequence[str | list[str]], prompt: str) -> list[str]:
        """The fewest shown statements that have every fact; empty when they are not all shown, or there are none."""
        found: list[str] = []
        shown = prompt.partition("\nQuestion: ")[0]
        for fact in facts:
            for match, text in _passages(shown):
                heading, *lines = text.splitlines()
                telling = next((line for line in lines if self._has(line, fact)), None)
                if telling is None and self._has(heading, fact):
                    telling = next((line for line in lines if line.startswith("- ")), None)
                if telling is not None:
                    found.append(f"{telling.removeprefix('- ').rstrip('.')} [{match}].")
                    break
            else:
                return []
        return list(dict.fromkeys(found))


def _passages(shown: str) -> list[tuple[str, str]]:
    marks = list(_PASSAGE.finditer(shown))
    ends = [mark.start() for mark in marks[1:]] + [len(shown)]
    return [(mark[1], shown[mark.start() : end]) for mark, end in zip(marks, ends, strict=True)]
