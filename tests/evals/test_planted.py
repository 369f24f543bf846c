"""Regressions that are planted on purpose, over the sample company's own documents and the real search and answerer.

Vectors are bags of words and the cross-encoder knows where the evidence stands, so that no model is needed; what the real
ones do without rerank is in bench/results/evals.md.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from causeway.contracts.chat import ChatChunk, ChatRequest, StopReason, Usage
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Relevance, RerankRequest
from causeway.evals.checks import grade
from causeway.evals.facts import has_quote
from causeway.evals.gate import Ruling, compare_runs, judge_gate
from causeway.evals.outcome import Outcome
from causeway.evals.record import CaseRecord, Record, digest_of
from causeway.evals.subject import EVALS, KnowledgeSubject, RetrievalSubject, Subject
from causeway.evals.suite import Inputs, Suite
from causeway.evals.suite_files import find_suite
from causeway.knowledge import Answerer, Search
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.chunking import Chunker
from causeway.knowledge.ingest.parser import parse_file
from causeway.knowledge.ingest.reading import Reading
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.settings import KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway

pytestmark = pytest.mark.timeout(180)

DOCUMENTS = Path(__file__).parents[2] / "samples" / "documents"
DIMENSIONS = 512
CALL = Call(principal=EVALS, purpose="evals")
RULE = "After each sentence write the number of its passage in square brackets, like [1]."
_PASSAGE = re.compile(r"^\[(\d+)\] (.*?)\n(.*?)(?=^\[\d+\] |^Question: )", re.MULTILINE | re.DOTALL)


class Knowing(FakeGateway):
    """A cross-encoder that is sure of the passages with a question's evidence, and unsure of all others."""

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        quotes = _quotes().get(request.query, ())
        scores = tuple(
            0.95 if any(has_quote(quote, text) for quote in quotes) else 0.05 for text in request.texts
        )
        return Relevance(scores=scores, model=request.model, usage=Usage())


@cache
def _quotes() -> Mapping[str, Sequence[str]]:
    cases = find_suite("sample-company").cases
    return {case.inputs.question: [each.quote for each in case.metadata.evidence] for case in cases}


class Obedient(Knowing):
    """A chat model that says yes when asked whether there is an answer, and no of a sentence that only sounds like one.

    It cites the best line when told to cite.
    """

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        rules, asked = request.messages[0].text, request.messages[-1].text
        if "Reply with one word" in asked:
            said = "no" if "\nSentence: " in asked else "yes"
        elif RULE in rules:
            said = _best_line(asked)
        else:
            said = "That is generally settled with whoever happens to be responsible for such matters."
        yield ChatChunk(text=said, model=request.model)
        yield ChatChunk(stop_reason=StopReason.END, model=request.model)


def _best_line(asked: str) -> str:
    question = set(re.findall(r"\w+", asked.partition("\nQuestion: ")[2].lower()))
    lines = [
        (len(question & set(re.findall(r"\w+", f"{heading} {line}".lower()))), line.removeprefix("- "), n)
        for n, heading, text in _PASSAGE.findall(asked)
        for line in text.strip().splitlines()
    ]
    _, line, n = max(lines, default=(0, "Nothing.", "1"), key=lambda each: each[0])
    return f"{line.rstrip('.')} [{n}]."


@cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


@cache
def _sheets(chunk_tokens: int) -> tuple[Sheet, ...]:
    chunker = Chunker(_tokenizer(), max_tokens=chunk_tokens)
    sheets = []
    for path in sorted(DOCUMENTS.rglob("*.*")):
        if path.suffix in (".md", ".txt", ".html", ".csv"):
            parsed = parse_file(path, name=path.name, reading=Reading())
            name = path.relative_to(DOCUMENTS).as_posix()
            chunks = chunker.chunk(parsed, title=parsed.title or path.stem)
            texts = tuple(f"{chunk.heading}\n{chunk.text}" for chunk in chunks)
            sheets.append(Sheet(id=f"doc_{name}", title=parsed.title, path=name, texts=texts))
    return tuple(sheets)


@pytest.fixture
async def index(database: Database) -> PostgresIndex:
    made = PostgresIndex(database)
    await made.prepare()
    return made


def _suite() -> Suite:
    """What text files answer."""
    known = {sheet.path for sheet in _sheets(320)}
    whole = find_suite("sample-company")
    kept = [case for case in whole.cases if case.metadata.documents and set(case.metadata.documents) <= known]
    kept = [case for case in kept if not case.inputs.filters]
    return whole.model_copy(update={"cases": tuple(kept)})


async def _stock(database: Database, index: PostgresIndex, chunk_tokens: int) -> None:
    await SheetPile(database, index, dimensions=DIMENSIONS).add(*_sheets(chunk_tokens))


def _search(index: PostgresIndex, **settings: object) -> Search:
    return Search(
        index,
        Knowing(dimensions=DIMENSIONS),
        KnowledgeSettings.model_validate(settings),
        models=ModelSettings(embed="fake"),
        spans=Spans(),
        clock=FrozenClock(),
    )


async def _identity() -> Mapping[str, object]:
    return {}


def _retrieval(index: PostgresIndex, **settings: object) -> RetrievalSubject:
    return RetrievalSubject(_search(index, **settings), _identity, FrozenClock(), top_k=4)


def _knowledge(index: PostgresIndex, prompts: Shelf) -> KnowledgeSubject:
    answerer = Answerer(
        search=_search(index),
        gateway=Obedient(dimensions=DIMENSIONS),
        prompts=prompts,
        spans=Spans(),
        clock=FrozenClock(),
        settings=lambda: KnowledgeSettings(check="words"),
    )
    return KnowledgeSubject(answerer, _identity, FrozenClock())


async def _record(subject: Subject) -> Record:
    suite, cases = _suite(), {}
    for case in suite.cases:
        outcome = await subject.answer(case.inputs, CALL)
        scores = grade(
            case, outcome, aspects=subject.aspects, budgets=suite.budgets, personal_data=lambda _text: []
        )
        values = {score.name: score.value for score in scores if score.value is not None}
        cases[case.name] = CaseRecord(digest=digest_of(case), page=case.page, scores=values)
    return Record(
        run="run",
        suite=suite.name,
        suite_version=suite.version,
        subject=subject.name,
        identity={},
        cases=cases,
        is_exact=subject.is_exact,
    )


async def _gate(before: Subject, after: Subject) -> Ruling:
    earlier, later = await _record(before), await _record(after)
    return judge_gate(later, compare_runs(earlier, later))


async def test_a_search_that_did_not_change_is_let_through(database: Database, index: PostgresIndex) -> None:
    await _stock(database, index, 320)
    assert len(_suite().cases) >= 15
    assert (await _gate(_retrieval(index), _retrieval(index))).is_passed


async def test_a_search_without_rerank_is_stopped(database: Database, index: PostgresIndex) -> None:
    await _stock(database, index, 320)
    ruling = await _gate(_retrieval(index), _retrieval(index, rerank=False))
    assert any(reason.startswith("evidence") for reason in ruling.reasons), ruling


async def test_chunks_of_the_wrong_size_are_stopped(database: Database, index: PostgresIndex) -> None:
    await _stock(database, index, 320)
    good = await _record(_retrieval(index))
    await SheetPile(database, index, dimensions=DIMENSIONS).add(
        *(replace(sheet, id=f"{sheet.id}_small", collection="small") for sheet in _sheets(24))
    )
    bad = await _record(_OnlySmall(_search(index), _identity, FrozenClock(), top_k=4))
    ruling = judge_gate(bad, compare_runs(good, bad))
    assert any("evidence fell" in reason for reason in ruling.reasons), ruling


async def test_an_answer_prompt_without_the_citation_rule_is_stopped(
    database: Database, index: PostgresIndex
) -> None:
    await _stock(database, index, 320)
    packaged = Shelf.packaged()
    prompt = packaged.get("answer")
    assert RULE in prompt.sections[0][1]
    without = replace(
        prompt,
        sections=tuple((role, text.replace(f"- {RULE}\n", "")) for role, text in prompt.sections),
    )
    ruling = await _gate(_knowledge(index, packaged), _knowledge(index, Shelf({"answer": without})))
    assert any(reason.startswith("supported fell") for reason in ruling.reasons), ruling


class _OnlySmall(RetrievalSubject):
    """The same search, in the collection of small chunks."""

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        return await super().answer(inputs.model_copy(update={"collection": "small"}), call)
