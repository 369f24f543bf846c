"""Answers the sample company's questions and grades the answers against what is known.

    python bench/answers.py [--every 1] [--retrieval-only] > bench/results/answers.md

Works on the data folder of the settings, into which `make up` has loaded the sample company. An answerable question is
right when the answer has every required fact and cites a document that holds the answer; an unanswerable one is right
when it is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import describe
from causeway import settings as configuration
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.knowledge import AskRequest, Finished, Hit, Retrieved, TextDelta
from causeway.wiring import Platform, Work, open_platform

QUESTIONS = Path(__file__).parent.parent / "samples" / "questions.jsonl"


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
    def best(self) -> float:
        """The cross-encoder's best score."""
        return max((hit.scores.rerank or 0.0 for hit in self.hits), default=0.0)

    @property
    def has_facts(self) -> bool:
        """Whether the answer has every required fact."""
        said = _plain(self.finished.answer if self.finished else "")
        return all(any(_plain(way) in said for way in _ways(fact)) for fact in self.question["facts"])

    @property
    def cites_truth(self) -> bool:
        """Whether a cited passage is of a document that holds the answer."""
        cited = {citation.path for citation in self.finished.citations} if self.finished else set()
        return bool(cited & set(self.question["documents"]))


def main() -> None:
    """Ask, grade and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="ask every Nth question")
    parser.add_argument("--retrieval-only", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    questions = [json.loads(line) for line in QUESTIONS.read_text().splitlines()][:: arguments.every]
    graded = asyncio.run(
        _ask_all(questions, is_whole=not arguments.retrieval_only, is_verbose=arguments.verbose)
    )
    _print(graded, is_whole=not arguments.retrieval_only)


async def _ask_all(questions: Sequence[dict[str, Any]], *, is_whole: bool, is_verbose: bool) -> list[Graded]:
    graded = []
    async with open_platform(configuration.load(), work=Work.NEVER) as platform:
        for question in questions:
            one = await _ask(platform, question, is_whole=is_whole)
            graded.append(one)
            if is_verbose:
                answer = one.finished.answer if one.finished else ""
                print(
                    f"<!-- {question['id']} {'A' if question['answerable'] else 'U'} best={one.best:.3f} "
                    f"found={one.is_found} facts={one.has_facts} cites={one.cites_truth} "
                    f"first={one.first_text_s} {question['question']} => {answer!r} want={question['facts']} -->",
                    flush=True,
                )
    return graded


async def _ask(platform: Platform, question: dict[str, Any], *, is_whole: bool) -> Graded:
    call = Call(principal=SYSTEM, purpose="bench")
    started = time.perf_counter()
    hits: tuple[Hit, ...] = ()
    finished, first = None, None
    events = platform.answerer.ask(AskRequest(question=question["question"]), call)
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


def _ways(fact: str | list[str]) -> list[str]:
    return [fact] if isinstance(fact, str) else fact


def _plain(text: str) -> str:
    """Lower case, one space, no marks of emphasis: how facts are compared."""
    return " ".join(text.lower().replace("*", "").replace("\u00a0", " ").replace(",", "").split())


def _print(graded: list[Graded], *, is_whole: bool) -> None:
    answerable = [one for one in graded if one.question["answerable"]]
    unanswerable = [one for one in graded if not one.question["answerable"]]
    print("# Answers about the sample company\n")
    print(describe())
    print(f"\nMade by `bench/answers.py` over {len(graded)} questions of `samples/questions.jsonl`.\n")
    print("| what | of | share |\n|---|---|---|")
    _row("every needed document among the passages", answerable, [one.is_found for one in answerable])
    if is_whole:
        refused = [bool(one.finished and one.finished.refused) for one in graded]
        by_id = {one.question["id"]: was for one, was in zip(graded, refused, strict=True)}
        _row("answerable, answered", answerable, [not by_id[one.question["id"]] for one in answerable])
        _row("answerable, every fact", answerable, [one.has_facts for one in answerable])
        _row(
            "answerable, every fact and a right citation",
            answerable,
            [one.has_facts and one.cites_truth for one in answerable],
        )
        _row("unanswerable, refused", unanswerable, [by_id[one.question["id"]] for one in unanswerable])
        firsts = sorted(one.first_text_s for one in graded if one.first_text_s is not None)
        print(
            f"\nSeconds to the first word: median {statistics.median(firsts):.1f}, longest {firsts[-1]:.1f}."
        )
    print("\nThe cross-encoder's best score, by quartile:\n")
    for name, ones in (("answerable", answerable), ("unanswerable", unanswerable)):
        cuts = statistics.quantiles([one.best for one in ones], n=4)
        print(f"- {name}: {', '.join(f'{cut:.3f}' for cut in cuts)}")


def _row(what: str, ones: Sequence[Graded], right: Sequence[bool]) -> None:
    print(f"| {what} | {len(ones)} | {sum(right) / max(1, len(ones)):.2f} |")


if __name__ == "__main__":
    main()
