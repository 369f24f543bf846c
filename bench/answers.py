"""Answers the sample company's questions and grades the answers against what is known.

    python bench/answers.py [--questions FILE ...] [--every 1] [--retrieval-only] > bench/results/answers.md

Works on the data folder and with the chat model of the settings; `make up` loads the sample company. An answerable question is
right when the answer has every required fact and cites a document that holds the answer; an unanswerable one is right
when it is refused. A quote counts as supported when its passage has it word for word, or in the cells of one table row; what a
model writes is measured by `bench/support.py`. Held out are `bench/refusal_questions.jsonl` and the even half of `bench/answer_questions.jsonl`: nothing was
fitted to them, and no rule was made looking at them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import time
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
from causeway.evals.statistics import wilson
from causeway.knowledge import Answerer, AskRequest, Finished, Hit, Retrieved, TextDelta
from causeway.knowledge.answer.answerability import probability
from causeway.knowledge.search.sections import SectionSearch
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.wiring import Platform, Work, open_platform

SAMPLES = Path(__file__).parent.parent / "samples" / "questions.jsonl"
SETS = tuple(
    Path(__file__).parent / f"{name}_questions.jsonl" for name in ("answerability", "answer", "refusal")
)
_QUOTED = re.compile(r"\u201c(.+?)\u201d \[(\d+)\]", re.DOTALL)


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
    def is_held_out(self) -> bool:
        """Whether nothing was developed on the question."""
        return is_held_out(self.question["id"])

    @property
    def quoted(self) -> list[bool]:
        """Of each quote, whether its passage has it."""
        said = self.finished.answer if self.finished and not self.finished.refused else ""
        return [_is_said(quote, self.hits[int(n) - 1]) for quote, n in _QUOTED.findall(said)]

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


def is_held_out(question_id: str) -> bool:
    """Whether nothing was developed on the question of this id."""
    return question_id.startswith("f") or (question_id.startswith("e") and int(question_id[1:]) % 2 == 0)


def main() -> None:
    """Ask, grade and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=Path, nargs="+", default=[SAMPLES, *SETS])
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
    answerer = Answerer(
        search=search,
        gateway=gateway,
        prompts=Shelf.packaged(),
        spans=Spans(),
        clock=platform.clock,
        settings=lambda: knowledge,
    )
    return answerer.adapted(lambda: platform.providers.adapters("chat"))


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
    model = next((one.finished.model for one in graded if one.finished and one.finished.citations), "none")
    print(f"\nMade by `bench/answers.py` over {len(graded)} questions. Answers by: {model}.\n")
    groups = [
        [one for one in graded if one.question["id"].startswith("q")],
        [one for one in graded if not one.is_held_out],
        [one for one in graded if one.is_held_out],
    ]
    print(
        "| share (how many) and 95 % interval | the 60 of samples | all developed on | held out |\n|---|---|---|---|"
    )
    answerable = [[one for one in group if one.question["answerable"]] for group in groups]
    unanswerable = [[one for one in group if not one.question["answerable"]] for group in groups]
    _row("every needed document among the passages", answerable, lambda one: one.is_found)
    if is_whole:
        _row("answerable, refused", answerable, lambda one: one.is_refused)
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
        quoted = [[each for one in group for each in one.quoted] for group in groups]
        if any(quoted):
            _row("cited sentences, supported", quoted, bool)
        firsts = sorted(one.first_text_s for one in graded if one.first_text_s is not None)
        print(
            f"\nSeconds to the first word: median {statistics.median(firsts):.1f}, longest {firsts[-1]:.1f}."
        )


def _is_said(sentence: str, hit: Hit) -> bool:
    """Whether ``hit`` has ``sentence`` word for word, or in the cells of one row below their column's names."""
    sentence = sentence.removesuffix("\u2026").strip(" .")
    whole = _plain(re.sub(r"\n\s*(?:[-*+\u2022]\s+)?", " ", f"{hit.heading}\n{hit.text}"))
    if _plain(sentence).removeprefix("- ") in whole:
        return True
    rows = [_plain(row).strip("| ").split("|") for row in hit.text.splitlines() if row.count("|") > 1]
    names = {name.strip() for row in rows for name in row}
    for row in rows:
        cells, said = {cell.strip() for cell in row}, _plain(sentence)
        for name in sorted(names, key=len, reverse=True):
            said = re.sub(rf"(?:^|(?<=; )){re.escape(name)}: ", "", said) if name else said
        for cell in sorted(cells, key=len, reverse=True):
            said = said.replace(cell, "") if cell else said
        if not said.strip("; "):
            return True
    return False


def _row(what: str, groups: Sequence[Sequence[Any]], is_right: Callable[[Any], bool]) -> None:
    cells = []
    for group in groups:
        found = wilson(sum(map(is_right, group)), len(group))
        cells.append(f"{found.estimate:.2f} ({len(group)}) {found.low:.2f}\u2013{found.high:.2f}")
    print(f"| {what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
