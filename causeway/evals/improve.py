"""Tries other wordings of a prompt, and keeps one only if it wins where it was not chosen.

Candidates come from a list of edits, or from a model that is asked to rewrite. All are measured on the suite's development
half; the best of them meets the present prompt once on the held-out half. It wins there when more cases pass than chance
explains, no check is worse by more than that, and no invariant breaks. Choosing among many on one half makes the best look
better than it is; the other half does not know that.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Protocol

import msgspec
import yaml

from causeway.contracts.chat import ChatRequest, Message
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.errors import CausewayError, InvalidInputError
from causeway.evals.checks import PASSED, FindsPersonalData, grade
from causeway.evals.gate import ALPHA, Comparison, Ruling, compare_runs, judge_gate
from causeway.evals.outcome import Outcome
from causeway.evals.record import CaseRecord, Record, digest_of
from causeway.evals.subject import EVALS, PURPOSE, Subject
from causeway.evals.suite import Case, Suite
from causeway.prompts.prompt import Prompt, as_file
from causeway.prompts.shelf import Shelf

_REWRITES: Final = 4
_REWRITE_TOKENS: Final = 1200
_ASKED: Final = """Below is the system prompt of an assistant. Write a better version of it: clearer, and obeyed more reliably.
Keep what it demands, keep every {{ placeholder }} and {% tag %} as it is, and reply with the new prompt alone.

"""


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of a prompt's text: ``find`` becomes ``put``, or ``put`` is added to the end of the first message."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    put: str
    find: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wording, and where it came from."""

    name: str
    prompt: Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A candidate on the development half."""

    candidate: Candidate
    passed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """What became of the candidates.

    Attributes:
        present: The share that the present prompt passed of the development half.
        trials: Every candidate's, best first.
        dropped: Candidates that could not be tried, and why.
        best: The one that met the present prompt on the held-out half; None when none was better on the other.
        comparison: That meeting.
        ruling: The gate's word on it.
    """

    present: float
    trials: tuple[Trial, ...]
    dropped: tuple[tuple[str, str], ...]
    best: Candidate | None
    comparison: Comparison | None
    ruling: Ruling | None

    @property
    def is_won(self) -> bool:
        """Whether the best candidate is to be promoted."""
        if self.comparison is None or self.ruling is None or not self.ruling.is_passed:
            return False
        line = next((line for line in self.comparison.lines if line.check == PASSED), None)
        return line is not None and line.later > line.earlier and line.paired.p_better <= ALPHA


class PromptSubjects(Protocol):
    """`causeway.evals.subjects.Subjects`."""

    def with_prompt(self, prompt: Prompt) -> Subject:
        """What a prompt is used by."""
        ...


class Improver:
    """Tries wordings of the shelf's prompts."""

    def __init__(
        self,
        subjects: PromptSubjects,
        *,
        gateway: ModelGateway,
        prompts: Shelf,
        personal_data: FindsPersonalData,
        concurrency: int = 2,
    ) -> None:
        self._subjects = subjects
        self._gateway = gateway
        self._prompts = prompts
        self._personal_data = personal_data
        self._concurrency = concurrency

    async def improve(
        self, name: str, suite: Suite, *, edits: Sequence[Edit] = (), model: str | None = None
    ) -> Improvement:
        """Try edits, and rewrites by ``model`` when one is named.

        Raises:
            NotFoundError: There is no such prompt.
            InvalidInputError: There is nothing to try, or the suite has no held-out half.
            CausewayError: The rewriting model failed.
        """
        present = self._prompts.get(name)
        try:
            development, held_out = suite.half("development"), suite.half("held-out")
        except ValueError as exc:
            raise InvalidInputError(str(exc)) from exc
        rewrites = await self._rewrites(present, model) if model else []
        kept, dropped = _candidates(present, edits, rewrites)
        if not kept and not dropped:
            msg = "there is nothing to try; give a list of edits, or a model that rewrites"
            raise InvalidInputError(msg)
        before = await self._measure(present, development)
        trials = [
            Trial(candidate=each, passed=_share(await self._measure(each.prompt, development)))
            for each in kept
        ]
        trials.sort(key=lambda trial: -trial.passed)
        if not trials or trials[0].passed <= _share(before):
            return Improvement(
                present=_share(before),
                trials=tuple(trials),
                dropped=tuple(dropped),
                best=None,
                comparison=None,
                ruling=None,
            )
        best = trials[0].candidate
        later = await self._measure(best.prompt, held_out)
        comparison = compare_runs(await self._measure(present, held_out), later)
        return Improvement(
            present=_share(before),
            trials=tuple(trials),
            dropped=tuple(dropped),
            best=best,
            comparison=comparison,
            ruling=judge_gate(later, comparison),
        )

    async def _rewrites(self, prompt: Prompt, model: str) -> list[str]:
        """New texts of the first message."""
        call = Call(principal=EVALS, purpose=PURPOSE, may_cache=False)
        texts = []
        for seed in range(_REWRITES):
            request = ChatRequest(
                model=model,
                messages=(Message("user", _ASKED + prompt.sections[0][1]),),
                max_tokens=_REWRITE_TOKENS,
                temperature=0.8,
                seed=seed,
            )
            texts.append((await self._gateway.complete(request, call)).text.strip())
        return texts

    async def _measure(self, prompt: Prompt, suite: Suite) -> Record:
        subject = self._subjects.with_prompt(prompt)
        pending = iter(suite.cases)
        cases: dict[str, CaseRecord] = {}

        async def work() -> None:
            for case in pending:
                cases[case.name] = await self._case(subject, suite, case)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(work())
        return Record(
            run=f"{prompt.reference} {prompt.sha256[:8]}",
            suite=suite.name,
            suite_version=suite.version,
            subject=subject.name,
            identity=dict(await subject.identity()),
            cases=dict(sorted(cases.items())),
            is_exact=subject.is_exact,
        )

    async def _case(self, subject: Subject, suite: Suite, case: Case) -> CaseRecord:
        try:
            outcome = await subject.answer(case.inputs, Call(principal=EVALS, purpose=PURPOSE))
        except CausewayError as exc:
            outcome = Outcome(fault=f"{exc.code}: {exc.message}")
        scores = grade(
            case,
            outcome,
            aspects=subject.aspects,
            budgets=suite.budgets,
            personal_data=self._personal_data,
        )
        return CaseRecord(
            digest=digest_of(case),
            page=case.page,
            tags=tuple(case.metadata.tags),
            scores={score.name: score.value for score in scores if score.value is not None},
        )


def read_edits(text: str, *, origin: str) -> list[Edit]:
    """The edits in a YAML file: a list of ``name``, ``put`` and, for a replacement, ``find``.

    Raises:
        InvalidInputError: The file is no such list.
    """
    try:
        return msgspec.convert(yaml.safe_load(text), list[Edit])
    except (yaml.YAMLError, msgspec.ValidationError) as exc:
        raise InvalidInputError(f"{origin}: no list of edits: {' '.join(str(exc).split())}") from exc


def _candidates(
    present: Prompt, edits: Sequence[Edit], rewrites: Sequence[str]
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """The wordings that can be tried, each once, and the others with the reason."""
    kept: list[Candidate] = []
    dropped: list[tuple[str, str]] = []
    seen = {present.sections}
    for name, prompt, problem in _worded(present, edits, rewrites):
        if problem or prompt.sections in seen:
            dropped.append((name, problem or "the same text as another"))
        else:
            seen.add(prompt.sections)
            kept.append(Candidate(name, prompt))
    return kept, dropped


def _worded(
    present: Prompt, edits: Sequence[Edit], rewrites: Sequence[str]
) -> Iterator[tuple[str, Prompt, str]]:
    (role, first), *rest = present.sections
    for edit in edits:
        if edit.find:
            whole = tuple((r, text.replace(edit.find, edit.put)) for r, text in present.sections)
            found = any(edit.find in text for _, text in present.sections)
            yield edit.name, _next(present, whole), "" if found else f"'{edit.find}' is not in the prompt"
        else:
            yield edit.name, _next(present, ((role, f"{first}\n{edit.put}"), *rest)), ""
    for n, text in enumerate(rewrites, start=1):
        marks = _marks(first)
        lost = marks - _marks(text)
        problem = "empty" if not text else f"lost {min(lost)}" if lost else ""
        yield f"rewrite {n}", _next(present, ((role, text), *rest)), problem


def _next(present: Prompt, sections: tuple[tuple[str, str], ...]) -> Prompt:
    changed = replace(present, version=present.version + 1, sections=sections)  # type: ignore[arg-type]  # roles as they were
    return replace(changed, sha256=hashlib.sha256(as_file(changed).encode()).hexdigest())


def _marks(template: str) -> set[str]:
    """Placeholders and tags, which a rewriting must keep."""
    pieces = template.replace("{{", "\0{{").replace("{%", "\0{%").split("\0")[1:]
    return {piece.partition("}")[0].strip() for piece in pieces}


def _share(record: Record) -> float:
    return record.interval(PASSED)[0].estimate
