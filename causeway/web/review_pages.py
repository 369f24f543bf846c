"""Review of feedback for administrators: the queue, one answer with its votes, and collected suites; `learning_pages` has what is learnt."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import RedirectResponse, Response

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.collected import FIRST
from causeway.evals.feedback_export import Format
from causeway.evals.learning import Decision
from causeway.observability import genai_names as names
from causeway.observability.feedback import LONGEST_CORRECTION, REASONS
from causeway.observability.review import LONGEST_NOTE, ReviewQuery
from causeway.observability.trace_store import Trace
from causeway.web.feedback_api import TraceId
from causeway.web.rendering import is_fragment, link, page
from causeway.web.review_api import (
    MOST_FACTS,
    STATE_OF,
    CaseBody,
    CaseDraft,
    Decided,
    Review,
    case_of,
    made,
)
from causeway.web.sign_in import Admin, Parts

router = APIRouter(include_in_schema=False)

_PAGE_SIZE = 40
_MOST_EXPORTED = 10_000
SuiteName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPassage:
    """A passage that an answer was written from.

    Attributes:
        n: Its number in the answer; None when the answer does not cite it.
    """

    n: int | None
    document_id: str
    title: str
    page: int | None
    text: str


class CaseForm(BaseModel):
    """A case as the page's form has it: a fact a line, ways of saying it parted by ``|``; a document a line."""

    model_config = ConfigDict(str_strip_whitespace=True)

    suite: str = Field(max_length=80)
    new_suite: str = Field(default="", max_length=80)
    question: str = Field(default="", max_length=4000)
    expects: Literal["answer", "refusal"] = "answer"
    facts: str = Field(default="", max_length=20_000)
    reference: str = Field(default="", max_length=LONGEST_CORRECTION)
    documents: str = Field(default="", max_length=20_000)

    @classmethod
    def of(cls, draft: CaseDraft) -> CaseForm:
        """The form that a draft fills."""
        return cls(
            suite=FIRST,
            question=draft.question,
            expects="refusal" if draft.refused else "answer",
            facts="\n".join(draft.facts),
            reference=draft.reference or "",
            documents="\n".join(draft.documents),
        )

    def body(self) -> CaseBody:
        """The same as the API takes it.

        Raises:
            InvalidInputError: Something of it is too long, or too much.
        """
        is_refused = self.expects == "refusal"
        try:
            return CaseBody(
                suite=self.new_suite or self.suite,
                question=self.question or None,
                facts=[] if is_refused else [_fact(line) for line in self.facts.splitlines() if line.strip()],
                refused=is_refused,
                reference=self.reference,
                documents=[line.strip() for line in self.documents.splitlines() if line.strip()],
            )
        except ValidationError as exc:
            raise InvalidInputError(
                f"a case has at most {MOST_FACTS} facts and {MOST_FACTS} documents, each of 500 characters"
            ) from exc


def _fact(line: str) -> str | list[str]:
    ways = [way.strip() for way in line.split("|") if way.strip()]
    return ways if len(ways) > 1 else "".join(ways)


class Filters(BaseModel):
    """Which votes the queue shows; ``trace`` opens one answer."""

    trace: str = Field(default="", pattern="^([0-9a-f]{32})?$")
    state: Literal["new", "confirmed", "dismissed", "all"] = "new"
    vote: Literal["up", "down", ""] = ""
    reason: str = Field(default="", max_length=40)
    text: str = Field(default="", max_length=200)
    offset: int = Field(default=0, ge=0, le=1_000_000)

    def query(self) -> ReviewQuery:
        """One vote more than a page shows, which tells whether there are others."""
        return ReviewQuery(
            state=None if self.state == "all" else self.state,
            is_up=None if not self.vote else self.vote == "up",
            reason=self.reason or None,
            text=self.text.strip(),
            limit=_PAGE_SIZE + 1,
            offset=self.offset,
        )


class DecisionForm(BaseModel):
    """What a reviewer decides on a vote."""

    decision: Decided
    voter: str = Field(max_length=100)
    note: str = Field(default="", max_length=LONGEST_NOTE)
    right_answer: str = Field(default="", max_length=LONGEST_CORRECTION)


@router.get("/review", name="review")
async def queue(
    request: Request, review: Review, _admin: Admin, filters: Annotated[Filters, Query()]
) -> Response:
    """The queue, or the answer that ``trace`` names; its next rows alone when htmx asks."""
    if filters.trace:
        return RedirectResponse(link(request, "review_one", trace_id=filters.trace), status_code=303)
    found = await review.reviewing.reviews.queue(filters.query())
    chosen = filters.model_dump(include={"state", "vote", "reason", "text"})
    values = {
        "found": found[:_PAGE_SIZE],
        "counts": await review.reviewing.reviews.counts(),
        "chosen": chosen,
        "older": {**chosen, "offset": filters.offset + _PAGE_SIZE} if len(found) > _PAGE_SIZE else None,
        "reasons": REASONS,
        "suites": await review.collected.names(),
    }
    return page(request, "review_rows.html" if is_fragment(request) else "review.html", values)


@router.get("/review/export", name="review_export")
async def export(
    review: Review,
    admin: Admin,
    form: Annotated[Format, Query(alias="format")] = "chat",
    raw: Annotated[bool, Query()] = False,
) -> Response:
    """Confirmed feedback as training data, a JSON document a line; ``raw`` leaves personal data as it was said."""
    confirmed = ReviewQuery(state="confirmed", limit=_MOST_EXPORTED)
    lines = await review.export.lines(confirmed, form, by=admin, is_raw=raw)
    return _lines(lines, f"feedback-{form}{'-raw' if raw else ''}.jsonl")


@router.get("/review/suites/{suite}", name="review_suite")
async def show_suite(suite: SuiteName, request: Request, review: Review, _admin: Admin) -> Response:
    """A collected suite."""
    return page(request, "review_suite.html", {"suite": await review.collected.suite(suite)})


@router.get("/review/suites/{suite}/file", name="review_suite_file")
async def suite_file(suite: SuiteName, review: Review, _admin: Admin) -> Response:
    """A collected suite as a file that ``causeway evals run`` takes."""
    cases = (await review.collected.suite(suite)).cases
    return _lines([case.model_dump(mode="json", exclude_defaults=True) for case in cases], f"{suite}.jsonl")


@router.post("/review/suites/{suite}/remove", name="review_suite_remove")
async def remove(
    suite: SuiteName,
    request: Request,
    review: Review,
    _admin: Admin,
    name: Annotated[str, Form(max_length=200)],
) -> Response:
    """Take a case out of a suite."""
    await review.collected.remove(suite, name)
    is_left = suite in await review.collected.names()
    address = link(request, "review_suite", suite=suite) if is_left else link(request, "review")
    return RedirectResponse(address, status_code=303)


@router.get("/review/{trace_id}", name="review_one")
async def show(trace_id: TraceId, request: Request, review: Review, parts: Parts, _admin: Admin) -> Response:
    """One answer: what was asked, said, read and thought of it."""
    return await _one(request, review, parts, trace_id)


@router.post("/review/{trace_id}", name="review_decide")
async def decide(
    trace_id: TraceId,
    request: Request,
    review: Review,
    admin: Admin,
    given: Annotated[DecisionForm, Form()],
) -> Response:
    """Confirm a vote, dismiss it, or take that back."""
    decision = Decision(
        state=STATE_OF[given.decision],
        voter=given.voter,
        note=given.note,
        right_answer=given.right_answer,
    )
    await review.reviewing.decide(trace_id, decision, by=admin.owner)
    return RedirectResponse(link(request, "review_one", trace_id=trace_id), status_code=303)


@router.post("/review/{trace_id}/case", name="review_case")
async def make_case(
    trace_id: TraceId,
    request: Request,
    review: Review,
    parts: Parts,
    admin: Admin,
    given: Annotated[CaseForm, Form()],
) -> Response:
    """Make a case of an answer; a refused one shows the form again with the reason."""
    try:
        case = await made(trace_id, given.body(), review, by=admin.owner)
    except NotFoundError:
        raise
    except InvalidInputError as exc:
        return await _one(request, review, parts, trace_id, problem=exc.message, given=given)
    return RedirectResponse(
        link(request, "review_one", {"made": case.suite}, trace_id=trace_id), status_code=303
    )


async def _one(
    request: Request,
    review: Review,
    parts: Parts,
    trace_id: str,
    *,
    problem: str | None = None,
    given: CaseForm | None = None,
) -> Response:
    votes = await review.reviewing.reviews.of(trace_id)
    draft = await case_of(trace_id, votes, review)
    asked = await review.reviewing.asked(trace_id)
    if not votes and asked is None:
        raise NotFoundError(f"there is no answer in the trace '{trace_id}', and no vote on it")
    passages = _passages(await parts.traces.trace(trace_id)) if asked else []
    held = await review.collected.names()
    values = {
        "trace_id": trace_id,
        "votes": votes,
        "asked": asked,
        "draft": draft,
        "form": given or (CaseForm.of(draft) if draft else None),
        "passages": passages,
        "targets": {
            each.n: link(request, "document", document_id=each.document_id)
            for each in passages
            if each.n is not None
        },
        "suites": sorted({FIRST, *held}),
        "problem": problem,
        "reasons": REASONS,
        "made": request.query_params.get("made", "")[:80],
    }
    return page(request, "review_one.html", values, status_code=422 if problem else 200)


def _passages(trace: Trace) -> list[ShownPassage]:
    """What the newest search of a trace found; those that the answer cites first."""
    numbers: dict[str, int] = {}
    shown: list[dict[str, Any]] = []
    for span in trace.spans:
        for cited in _listed(span.attributes.get("causeway.citations")):
            numbers[str(cited.get("chunk_id"))] = int(cited.get("n") or 0)
        shown = _listed(span.attributes.get(names.RETRIEVAL_DOCUMENTS)) or shown
    passages = [
        ShownPassage(
            n=numbers.get(str(each.get("id"))),
            document_id=str(each.get("document_id") or ""),
            title=str(each.get("title") or "passage"),
            page=each["page"] if isinstance(each.get("page"), int) else None,
            text=str(each.get("text") or ""),
        )
        for each in shown
    ]
    return sorted(passages, key=lambda each: (each.n is None, each.n or 0))


def _listed(value: object) -> list[dict[str, Any]]:
    found = json.loads(value) if isinstance(value, str) else value
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _lines(rows: Iterable[object], name: str) -> Response:
    written = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(written, media_type="application/jsonl", headers=headers)
