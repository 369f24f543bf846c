"""Asks the cheap and the strong model the questions of ``bench/auto_route/checkable.jsonl`` and checks the replies.

    python -m bench.auto_route_answers

Adds what is missing to ``bench/auto_route/answered.jsonl``, from which ``python -m bench.auto_route report`` draws its curve, so that the
report needs no models. Replies are greedy and at most 240 tokens long. The models are those of the settings' aliases
``fast`` and ``chat``, and both have to be pulled. Takes minutes.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causeway.contracts.chat import ChatRequest, Message, StopReason
from causeway.contracts.clock import SystemClock
from causeway.models.catalog import Catalog
from causeway.models.llama_process import LlamaProcess
from causeway.models.local_chat import LocalChat
from causeway.models.model_folder import model_folder
from causeway.settings import load

FOLDER = Path(__file__).parent / "auto_route"
_MOST_TOKENS = 240
_DEADLINE_S = 120.0
_MOST_WORDS = 20
_BOXED = re.compile(r"boxed\{([^}]*)\}")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")


def is_right(question: dict[str, Any], answered: dict[str, Any]) -> bool:
    """Whether a reply says what the question's row wants, whatever else it says around it.

    A number is the boxed one, or else the last. Words have to stand in a reply of at most twenty, so that one which
    names every choice in turn is not right. What was cut is wrong.
    """
    reply = answered["reply"]
    if answered["is_cut"]:
        return False
    if "number" in question:
        boxed = _BOXED.findall(reply)
        numbers = _NUMBER.findall(boxed[-1] if boxed else reply)
        return bool(numbers) and float(numbers[-1].replace(",", "")) == float(question["number"])
    said = _plain(reply)
    return len(said.split()) <= _MOST_WORDS and any(
        f" {_plain(word)} " in f" {said} " for word in question["words"]
    )


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[.,;:!?*`\"'()]+(?=\s|$)|[*`\"'(]", " ", text.lower()).replace(",", " ").split())


def questions() -> list[dict[str, Any]]:
    """The rows of ``checkable.jsonl``."""
    lines = (FOLDER / "checkable.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answers() -> dict[str, dict[str, dict[str, Any]]]:
    """The rows of ``answered.jsonl`` by the question's id: a reply of the ``cheap`` and one of the ``strong`` model."""
    file = FOLDER / "answered.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {(row := json.loads(line))["id"]: row for line in lines}


async def _ask(alias: str, asked: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    settings = load()
    card = Catalog.load().get(getattr(settings.models, alias))
    gguf = model_folder(card, settings.storage.models_dir) / card.weights.name
    replies = {}
    with tempfile.TemporaryDirectory() as run_dir:
        process = LlamaProcess(card, gguf, settings.models, run_dir=Path(run_dir), clock=SystemClock())
        chat = LocalChat(process)
        try:
            for question in asked:
                request = ChatRequest(
                    model=card.id,
                    messages=(Message("user", question["text"]),),
                    max_tokens=_MOST_TOKENS,
                    temperature=0.0,
                )
                began = time.perf_counter()
                async with asyncio.timeout(_DEADLINE_S):
                    reply = await chat.complete(request)
                replies[question["id"]] = {
                    "reply": reply.text,
                    "is_cut": reply.stop_reason is StopReason.LENGTH,
                    "tokens": reply.usage.total_tokens,
                    "took_s": round(time.perf_counter() - began, 2),
                }
        finally:
            await chat.close()
    return replies


async def _run() -> None:
    known = answers()
    missing = [question for question in questions() if question["id"] not in known]
    cheap, strong = await _ask("fast", missing), await _ask("chat", missing)
    for question in missing:
        name = question["id"]
        known[name] = {"id": name, "cheap": cheap[name], "strong": strong[name]}
    rows = (json.dumps(known[question["id"]], ensure_ascii=False) for question in questions())
    (FOLDER / "answered.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for side in ("cheap", "strong"):
        right = sum(is_right(question, known[question["id"]][side]) for question in questions())
        print(side, right, "of", len(known), "right")


def main() -> None:
    """Ask both models."""
    asyncio.run(_run())


if __name__ == "__main__":
    main()
