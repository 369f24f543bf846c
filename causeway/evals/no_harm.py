"""The no-harm rule: what is learnt from feedback is used only where it was measured to help, and to leave the rest alone.

Every question is asked in three **arms**: *off*, as search and answers are; *on*, with what was learnt; and *placebo*, with
as much change of the same size in places that nobody voted for. Arms differ in nothing else, so each question is its own
control. And it is asked in two **groups**, which differ in what was learnt:

- *untouched*: every confirmed answer that cites one of the question's own documents is left out. What remains is about
  other topics, and can only disturb. This is where the pilot lost 5 to 11 points.
- *touched*: only answers to this very question are left out, and one about its documents remains: somebody asks again, in
  other words, what was answered well.

So questions are split by the documents that they are about, never one by one: a vote on a question of a page is a vote on
that page. Intervals come from resampling whole pages. Accepted is what (1) was asked `LEAST` untouched questions and
`LEAST_TOUCHED` touched ones, (2) loses at most 2 points on untouched ones at the interval's lower end, (3) gains on touched
ones, and (4) gains more there than the placebo; each at the lower end of a 95 % interval.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from causeway.evals.statistics import Interval, clustered_mean
from causeway.knowledge import ConfirmedAnswer

Arm = Literal["off", "on", "placebo"]
Group = Literal["untouched", "touched"]
Scores = Mapping[Group, Mapping[Arm, float]]
"""Of one question, 0 to 1; a group is missing where nothing was learnt that makes it one."""

ARMS: Final[tuple[Arm, ...]] = ("off", "on", "placebo")
GROUPS: Final[tuple[Group, ...]] = ("untouched", "touched")
LEAST: Final = 200
LEAST_TOUCHED: Final = 30
MOST_HARM: Final = -2.0
"""In points, hundredths of the score."""
_SEED: Final = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question whose answer's documents are known.

    Attributes:
        documents: Ids of those that hold the answer.
        origin: The trace that it was taken from; its own confirmed answer never counts for it.
        case: The suite's case as plain values, for what is graded; None for confirmed answers.
    """

    text: str
    documents: tuple[str, ...]
    origin: str | None = None
    case: Mapping[str, Any] | None = None

    @property
    def page(self) -> str:
        """What intervals are clustered by."""
        return min(self.documents)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "text": self.text,
            "documents": list(self.documents),
            "origin": self.origin,
            "case": self.case,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """The other way round."""
        return cls(
            text=value["text"],
            documents=tuple(value["documents"]),
            origin=value["origin"],
            case=value["case"],
        )


def learnt_for(
    question: Question, answers: Sequence[ConfirmedAnswer]
) -> Mapping[Group, list[ConfirmedAnswer]]:
    """Which confirmed answers count for ``question`` in each group; `touched` is there only when one is about its documents."""
    asked = _plain(question.text)
    others = [each for each in answers if _plain(each.question) != asked and each.trace_id != question.origin]
    gold = set(question.documents)
    elsewhere = [each for each in others if gold.isdisjoint(each.document_ids)]
    learnt: dict[Group, list[ConfirmedAnswer]] = {"untouched": elsewhere}
    if len(elsewhere) < len(others):
        learnt["touched"] = others
    return learnt


def placebo_of(boosts: Mapping[str, float], found: Sequence[str], *, question: str) -> Mapping[str, float]:
    """As many boosts of the same sizes as hit anything that was ``found``, on other passages of those; seeded by the question."""
    sizes = [size for chunk_id, size in boosts.items() if chunk_id in set(found)]
    free = [chunk_id for chunk_id in found if chunk_id not in boosts]
    chosen = random.Random(f"{_SEED} {question}").sample(free, min(len(sizes), len(free)))  # noqa: S311 - no secret
    return dict(zip(chosen, sizes, strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of two arms over the same questions, in points, with its 95 % interval."""

    points: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> Self:
        """An interval of shares, in points."""
        return cls(points=100 * interval.estimate, low=100 * interval.low, high=100 * interval.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupProof:
    """What a group of questions showed.

    Attributes:
        means: The mean of each arm, in points.
        better: Questions whose score was higher with the arm on.
        worse: Those whose score was lower.
    """

    questions: int
    pages: int
    means: Mapping[str, float]
    on: Difference
    placebo: Difference
    on_against_placebo: Difference
    better: int
    worse: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What an experiment showed, and what follows.

    Attributes:
        metric: What a score is.
        groups: By the group's name.
        objections: Why it is not accepted, a sentence each; none when it is.
    """

    metric: str
    groups: Mapping[str, GroupProof]
    objections: tuple[str, ...] = field(default=())

    @property
    def is_accepted(self) -> bool:
        """Whether the improvement may be switched on."""
        return not self.objections

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """From plain values, as ``dataclasses.asdict`` makes them."""
        return cls(
            metric=value["metric"],
            groups={
                name: GroupProof(
                    **{
                        **group,
                        **{
                            each: Difference(**group[each])
                            for each in ("on", "placebo", "on_against_placebo")
                        },
                    }
                )
                for name, group in value["groups"].items()
            },
            objections=tuple(value["objections"]),
        )


def prove(questions: Sequence[Question], scores: Sequence[Scores], *, metric: str) -> Proof:
    """What the scores of ``questions``, in their order, show."""
    groups: dict[str, GroupProof] = {}
    for group in GROUPS:
        measured = [
            (question, each[group]) for question, each in zip(questions, scores, strict=True) if group in each
        ]
        if measured:
            groups[group] = _group([one for one, _ in measured], [arms for _, arms in measured])
    return Proof(metric=metric, groups=groups, objections=tuple(_objections(groups)))


def _group(questions: Sequence[Question], arms: Sequence[Mapping[Arm, float]]) -> GroupProof:
    pages = [question.page for question in questions]

    def difference(later: Arm, earlier: Arm) -> Difference:
        return Difference.of(clustered_mean([each[later] - each[earlier] for each in arms], pages))

    return GroupProof(
        questions=len(questions),
        pages=len(set(pages)),
        means={arm: 100 * sum(each[arm] for each in arms) / len(arms) for arm in ARMS},
        on=difference("on", "off"),
        placebo=difference("placebo", "off"),
        on_against_placebo=difference("on", "placebo"),
        better=sum(each["on"] > each["off"] for each in arms),
        worse=sum(each["on"] < each["off"] for each in arms),
    )


def _objections(groups: Mapping[str, GroupProof]) -> list[str]:
    untouched, touched = groups.get("untouched"), groups.get("touched")
    held = (untouched.questions if untouched else 0, touched.questions if touched else 0)
    objections = []
    if held[0] < LEAST:
        objections.append(f"{held[0]} questions were asked, and it takes {LEAST} to tell")
    if held[1] < LEAST_TOUCHED:
        objections.append(
            f"{held[1]} questions are about documents that somebody voted on, and it takes {LEAST_TOUCHED} to tell"
        )
    if untouched and untouched.on.low < MOST_HARM:
        objections.append(
            f"topics without votes may lose {-untouched.on.low:.1f} points, more than {-MOST_HARM:.0f}"
        )
    if touched and touched.on.low <= 0:
        objections.append(
            f"topics with votes gain {touched.on.points:+.1f} points, which may be nothing ({touched.on.low:+.1f})"
        )
    elif touched and touched.on_against_placebo.low <= 0:
        objections.append("a placebo of the same size does as much")
    return objections


def _plain(question: str) -> str:
    return " ".join(question.split()).casefold().rstrip(" ?.!")
