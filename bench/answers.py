"""Answers the sample company's questions and grades the answers against what is known.

    python bench/answers.py [--questions FILE ...] [--every 1] [--retrieval-only] > bench/results/answers.md

Works on the data folder and with the chat model of the settings; `make up` loads the sample company. An answerable question is
right when the answer has every required fact and cites a document that holds the answer; an unanswerable one is right
when it is refused. Coefficients were fitted to the development half alone: the
questions whose document (for an unanswerable one: whose best hit's) falls into it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.answer_cache import RememberingGateway, RememberingSearch, Replies
from bench.answer_gold import GoldGateway
from bench.machine import describe
from causeway import settings as configuration
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.knowledge import Answerer, AskRequest, Finished, Hit, Retrieved, TextDelta
from causeway.knowledge.answer.answerability import probability
from causeway.knowledge.search.sections import SectionSearch
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.wiring import Platform, Work, open_platform

SAMPLES = Path(__file__).parent.parent / "samples" / "questions.jsonl"
NEW = Path(__file__).parent / "answer_questions.jsonl"


@dataclass(frozen=True, slots=True)
class Graded:
    """One question and what became of it."""

    question: dict[str, Any]
    hits: tuple[Hit, ...]
    finished: Finished | None
    first_text_s: float | None
    took_s: float

    @property
    def is_found(self) -> bool:
        """Whether a passage of every document that is needed was retrieved."""
        return set(self.question["documents"]) <= {hit.path for hit in self.hits}

    @property
    def is_refused(self) -> bool:
        """Whether the answer was that the documents do not say."""
        return bool(self.finished and self.finished.refused)

    @property
    def is_cautious(self) -> bool:
        """Whether the answer came with the caution that it may be none."""
        return bool(self.finished and not self.finished.refused and not self.finished.is_sure)

    @property
    def is_development(self) -> bool:
        """Whether the question belongs to the half that was developed on."""
        if self.question["id"].startswith("e"):
            return int(self.question["id"][1:]) % 2 == 1
        document = next(iter(self.question["documents"] or (hit.path for hit in self.hits)), "")
        return zlib.crc32(document.encode()) % 2 == 1

    @property
    def has_facts(self) -> bool:
        """Whether the answer has every required fact."""
        said = self.finished.answer if self.finished else ""
        return all(_has(said, fact) for fact in self.question["facts"])

    @property
    def cites_truth(self) -> bool:
        """Whether a cited passage is of a document that holds the answer."""
        cited = {citation.path for citation in self.finished.citations} if self.finished else set()
        return bool(cited & set(self.question["documents"]))


def main() -> None:
    """Ask, grade and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=Path, nargs="+", default=[SAMPLES, NEW])
    parser.add_argument("--every", type=int, default=1, help="ask every Nth question")
    parser.add_argument("--retrieval-only", action="store_true")
    parser.add_argument("--gold", action="store_true", help="with a chat model that reads perfectly")
    parser.add_argument("--cache", type=Path, help="a folder to remember replies in")
    parser.add_argument("--seconds", type=float, default=1e9, help="ask no further question after so long")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    lines = [line for file in arguments.questions for line in file.read_text().splitlines()]
    questions = [json.loads(line) for line in lines][:: arguments.every]
    graded = asyncio.run(_ask_all(questions, arguments))
    _print(graded, is_whole=not arguments.retrieval_only)


async def _ask_all(questions: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> list[Graded]:
    graded: list[Graded] = []
    settings = configuration.load()
    started = time.perf_counter()
    async with open_platform(settings, work=Work.NEVER) as platform:
        answerer = answerer_of(platform, questions, cache=arguments.cache, is_gold=arguments.gold)
        for question in questions:
            if time.perf_counter() - started > arguments.seconds:
                break
            one = await _ask(answerer, question, is_whole=not arguments.retrieval_only)
            graded.append(one)
            if arguments.verbose:
                answer = one.finished.answer if one.finished else ""
                print(
                    f"<!-- {question['id']} {'A' if question['answerable'] else 'U'} refused={one.is_refused} "
                    f"found={one.is_found} facts={one.has_facts} cautious={one.is_cautious} p={_likely(one)} "
                    f"cites={one.cites_truth} first={one.first_text_s} {question['question']} => {answer!r} "
                    f"want={question['facts']} -->",
                    flush=True,
                )
    return graded


def answerer_of(
    platform: Platform, questions: Sequence[dict[str, Any]], *, cache: Path | None, is_gold: bool = False
) -> Answerer:
    """The platform's own, with replies that are remembered and, if asked for, with the model that reads perfectly."""
    replies = Replies(cache)
    gateway: Any = RememberingGateway(platform.gateway, replies)
    knowledge = platform.settings.knowledge
    if is_gold:
        gateway = GoldGateway(gateway, {one["question"]: one for one in questions}, _has)
        knowledge = knowledge.model_copy(update={"answers": "written", "check": "words"})
    elif knowledge.answers == "auto":
        is_local = platform.providers.local_card("chat") is not None
        knowledge = knowledge.model_copy(update={"answers": "quoted" if is_local else "written"})
    search: Any = RememberingSearch(SectionSearch(platform.search, platform.database), replies)
    return Answerer(
        search=search,
        gateway=gateway,
        prompts=Shelf.packaged(),
        spans=Spans(),
        clock=platform.clock,
        settings=lambda: knowledge,
    )


async def _ask(answerer: Answerer, question: dict[str, Any], *, is_whole: bool) -> Graded:
    call = Call(principal=SYSTEM, purpose="bench")
    started = time.perf_counter()
    hits: tuple[Hit, ...] = ()
    finished, first = None, None
    events = answerer.ask(AskRequest(question=question["question"]), call)
    async for event in events:
        match event:
            case Retrieved():
                hits = event.hits
                if not is_whole:
                    await events.aclose()
                    break
            case TextDelta() if first is None:
                first = round(time.perf_counter() - started, 2)
            case Finished():
                finished = event
            case _:
                pass
    return Graded(question, hits, finished, first, time.perf_counter() - started)


def _has(text: str, fact: str | list[str]) -> bool:
    return any(_plain(way) in _plain(text) for way in _ways(fact))


def _likely(one: Graded) -> float | None:
    signals = one.finished.signals if one.finished else None
    return round(probability(signals), 2) if signals else None


def _ways(fact: str | list[str]) -> list[str]:
    return [fact] if isinstance(fact, str) else fact


def _plain(text: str) -> str:
    """Lower case, one space, no marks of emphasis: how facts are compared."""
    return " ".join(text.lower().replace("*", "").replace("\u00a0", " ").replace(",", "").split())


def _print(graded: list[Graded], *, is_whole: bool) -> None:
    print("# Answers about the sample company\n")
    print(describe())
    model = next((one.finished.model for one in graded if one.finished and one.finished.model), "none")
    print(f"\nMade by `bench/answers.py` over {len(graded)} questions. Answers by: {model}.\n")
    halves = [
        graded,
        [one for one in graded if one.is_development],
        [one for one in graded if not one.is_development],
    ]
    print("| share (of how many) | all | development half | other half |\n|---|---|---|---|")
    answerable = [[one for one in half if one.question["answerable"]] for half in halves]
    unanswerable = [[one for one in half if not one.question["answerable"]] for half in halves]
    _row("every needed document among the passages", answerable, lambda one: one.is_found)
    if is_whole:
        _row("answerable, answered", answerable, lambda one: not one.is_refused)
        _row("answerable, every fact", answerable, lambda one: one.has_facts)
        _row(
            "answerable, every fact and a right citation",
            answerable,
            lambda one: one.has_facts and one.cites_truth,
        )
        _row("answerable, answered with a caution", answerable, lambda one: one.is_cautious)
        _row("unanswerable, refused", unanswerable, lambda one: one.is_refused)
        _row(
            "unanswerable, refused or with a caution",
            unanswerable,
            lambda one: one.is_refused or one.is_cautious,
        )
        firsts = sorted(one.first_text_s for one in graded if one.first_text_s is not None)
        print(
            f"\nSeconds to the first word: median {statistics.median(firsts):.1f}, longest {firsts[-1]:.1f}."
        )


def _row(what: str, halves: Sequence[Sequence[Graded]], is_right: Callable[[Graded], bool]) -> None:
    shares = [f"{sum(map(is_right, half)) / max(1, len(half)):.2f} ({len(half)})" for half in halves]
    print(f"| {what} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
