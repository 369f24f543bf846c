"""A suite: the questions that a subject is asked, and what is known of their right answers.

A suite's file is a dataset of pydantic-evals (https://ai.pydantic.dev/evals/), as YAML or JSON, or one case a line as
JSONL; `causeway.evals.suite_files` reads them. Unknown fields are errors: a misspelt ``facts`` would pass everything.

Cases are split by the page that they were made from, never one by one: a prompt that was tuned on one question of a
page has seen the answers to the page's other questions.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from causeway.contracts.identity import Principal, Scope, viewer_names

Split = Literal["development", "held-out"]
Fact = str | Annotated[list[str], Field(min_length=1)]
"""What a right answer has to say; a list holds ways of saying it, of which one is enough."""

_NO_PAGE: Final = "no page"
_UNTOLD: Final[tuple[object, ...]] = (None, False, [], {})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def told(self) -> dict[str, object]:
        """What was written, as plain values: a field that a later release adds does not make it something else."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value not in _UNTOLD}


class Asker(_Strict):
    """A person as whom a case is asked: what access rules, row rules and caches keep apart.

    Attributes:
        name: Tells two people of a suite apart.
        team: The team that they belong to, which row rules call ``:team``.
        groups: The ids of their groups, as access rules name them after ``group:``.
    """

    name: str = Field(default="somebody", pattern=r"^[a-z0-9-]{1,40}$")
    team: str | None = None
    groups: Sequence[str] = ()

    @property
    def principal(self) -> Principal:
        """Who that is; nobody that can sign in."""
        person = f"evals:{self.name}"
        return Principal(
            id=person,
            name=person,
            scopes=frozenset({Scope.ASK, Scope.MODELS}),
            team=self.team,
            user=person,
            sees_as=viewer_names(person, self.groups),
        )


class Inputs(_Strict):
    """What the subject is asked.

    Attributes:
        question: In the words of whoever asks.
        collection: Where the knowledge base looks; all collections when not given.
        filters: Which documents it may use, as in ``causeway search --filter``.
        messages: What is said before the question, for models and prompts; role and text.
        values: What a prompt's template is filled with, beside ``question``.
        asker: Whose question it is; without one it is asked as somebody who may see everything.
    """

    question: str = Field(min_length=1)
    collection: str | None = None
    filters: Mapping[str, str | list[str]] = Field(default_factory=dict)
    messages: Sequence[tuple[Literal["system", "user", "assistant"], str]] = ()
    values: Mapping[str, object] = Field(default_factory=dict)
    asker: Asker | None = None


class Table(_Strict):
    """Rows that a right query returns; ``is_ordered`` when the question asks for an order."""

    rows: Sequence[Sequence[object]]
    is_ordered: bool = False
    tolerance: float = Field(
        default=1e-6, ge=0, description="Relative difference of numbers that is forgiven"
    )


class Expected(_Strict):
    """What is known of a right answer; what is not given is not checked.

    Attributes:
        facts: Every one has to be in the answer.
        refused: The documents hold no answer, and it has to be refused.
        forbidden: Canaries: none may occur in what the subject says.
        hidden: Canaries that the subject may neither say nor be shown.
        obeyed: Words that tell that an attacker's instruction was followed: a share of cases, where ``forbidden`` and
            ``hidden`` allow none. What a model can be talked into is measured; what it can do with that is not left to it.
        no_pictures: What the subject says may load nothing from elsewhere when it is shown.
        no_personal_data: What the subject says may hold no personal data and no secrets.
        no_abuse: What the subject says may hold no threats, insults, slurs or profanity.
        label: The word that the subject has to choose, such as the router's ``cheap``.
        pattern: A regular expression that the whole answer has to match.
        json_schema: The answer has to be JSON that satisfies it.
        table: The rows that a query has to return.
        reference: A right answer, for a judge.
    """

    facts: Sequence[Fact] = ()
    refused: bool = False
    forbidden: Sequence[str] = ()
    hidden: Sequence[str] = ()
    obeyed: Sequence[str] = ()
    no_pictures: bool = False
    no_personal_data: bool = False
    no_abuse: bool = False
    label: str | None = None
    pattern: str | None = None
    json_schema: Mapping[str, object] | None = None
    table: Table | None = None
    reference: str | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Expected:
        if self.refused and self.facts:
            msg = "an answer that has to be refused has no facts; remove one of both"
            raise ValueError(msg)
        return self


class Evidence(_Strict):
    """Where a fact stands: words of the document, and its page where it has pages."""

    document: str
    quote: str = Field(min_length=1)
    page: int | None = Field(default=None, ge=1)


class Metadata(_Strict):
    """What is known of a case apart from its answer.

    Attributes:
        documents: Gold documents: the paths of those that hold the answer together.
        evidence: Where in them.
        tags: What kind of question it is; reports have a line for each.
        page: The document that the case was made from, also when that does not answer it; the first of ``documents``
            when not given.
        split: Which half it belongs to; found from ``page`` when not given.
        origin: Where the case came from, such as the trace of a question that was voted down.
        subjects: What it is put to, by name or, as ``model``, by kind; everything when not given.
    """

    documents: Sequence[str] = ()
    evidence: Sequence[Evidence] = ()
    tags: Sequence[str] = ()
    page: str | None = None
    split: Split | None = None
    origin: str | None = None
    subjects: Sequence[str] = ()


class Case(_Strict):
    """One question, called by its name."""

    name: str = Field(min_length=1, max_length=200)
    inputs: Inputs
    expected_output: Expected = Field(default_factory=Expected)
    metadata: Metadata = Field(default_factory=Metadata)

    @property
    def page(self) -> str:
        """The page that the case was made from: what intervals are clustered by."""
        named = self.metadata.page or next(iter(self.metadata.documents), None)
        return named or f"{_NO_PAGE}: {self.name}"

    def is_for(self, subject: str) -> bool:
        """Whether it is put to the subject of that name."""
        wanted = self.metadata.subjects
        return not wanted or subject in wanted or subject.partition(":")[0] in wanted


class Budgets(_Strict):
    """What one answer may take; None is no limit."""

    seconds: float | None = Field(default=None, gt=0)
    usd: float | None = Field(default=None, gt=0)


class Suite(_Strict):
    """Cases under a name, and the bytes' digest that is the suite's version."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
    cases: Sequence[Case] = Field(min_length=1)
    budgets: Budgets = Field(default_factory=Budgets)

    @property
    def version(self) -> str:
        """Sixty-four hexadecimal digits that change with any of the cases."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def documents(self) -> Mapping[str, Sequence[str]]:
        """Every gold document, and the names of the cases that need it."""
        needed: defaultdict[str, list[str]] = defaultdict(list)
        for case in self.cases:
            for path in case.metadata.documents:
                needed[path].append(case.name)
        return needed

    @property
    def subjects(self) -> Sequence[str]:
        """What its cases are made for, each once, in their order; of a kind the model ``chat``. Empty when for everything."""
        named = (subject for case in self.cases for subject in case.metadata.subjects)
        return tuple(dict.fromkeys(f"{name}:chat" if name == "model" else name for name in named))

    def put_to(self, subject: str) -> Suite:
        """The cases that a subject is asked, under the same name.

        Raises:
            ValueError: There are none.
        """
        kept = tuple(case for case in self.cases if case.is_for(subject))
        if not kept:
            raise ValueError(
                f"suite '{self.name}' has no case for '{subject}'; it has some for {', '.join(self.subjects)}"
            )
        return self if len(kept) == len(self.cases) else self.model_copy(update={"cases": kept})

    def half(self, split: Split) -> Suite:
        """The cases of one half, under the same name.

        Raises:
            ValueError: The half has no cases.
        """
        halves = split_of(self.cases)
        kept = [case for case in self.cases if halves[case.name] == split]
        if not kept:
            raise ValueError(f"suite '{self.name}' has no case in its {split} half; label some")
        return self.model_copy(update={"cases": tuple(kept)})

    def tagged(self, tag: str) -> Suite:
        """The cases with ``tag``.

        Raises:
            ValueError: No case has it.
        """
        kept = tuple(case for case in self.cases if tag in case.metadata.tags)
        if not kept:
            tags = sorted({known for case in self.cases for known in case.metadata.tags})
            raise ValueError(f"suite '{self.name}' has no case tagged '{tag}'; it has {', '.join(tags)}")
        return self.model_copy(update={"cases": kept})


def split_of(cases: Iterable[Case]) -> dict[str, Split]:
    """The half of every case; cases without a label go by the digest of their page, all of a page together."""
    halves: dict[str, Split] = {}
    for case in cases:
        digest = hashlib.sha256(case.page.encode()).digest()
        by_page: Split = "held-out" if digest[0] % 2 else "development"
        halves[case.name] = case.metadata.split or by_page
    return halves


def mixed_pages(cases: Iterable[Case]) -> Sequence[str]:
    """Pages whose cases are in both halves: what was tuned on one half has seen the other."""
    listed = list(cases)
    halves = split_of(listed)
    seen: defaultdict[str, set[Split]] = defaultdict(set)
    for case in listed:
        seen[case.page].add(halves[case.name])
    return sorted(page for page, found in seen.items() if len(found) > 1)
