"""Runs and what is known of them while they are under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from causeway.evals.outcome import Outcome, Score
from causeway.evals.suite import Suite


class RunState(StrEnum):
    """How far a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    """Before its end: by somebody, by its limit, or because every case failed. It can be resumed."""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a suite is run.

    Attributes:
        repeats: How often every case is asked; more than once shows which cases change their mind.
        concurrency: Cases that are asked at the same time.
        reuse: An earlier outcome of the same question to the same subject is taken again in place of asking.
        judges: The rubrics that a model judges answers by.
        judge_model: The model that judges.
        judged: Most cases that are judged, the first of the suite; None judges all.
        limit_micros: The run stops when its answers have cost more; None has no limit.
    """

    repeats: int = 1
    concurrency: int = 2
    reuse: bool = False
    judges: tuple[str, ...] = ()
    judge_model: str = "chat"
    judged: int | None = None
    limit_micros: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, as they are stored."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A suite, run against a subject.

    Attributes:
        suite_version: The digest of the suite's cases.
        identity: What the subject's answers depended on.
        total: Answers that it takes, repeats counted.
        attempt: Goes up when it is resumed.
        problem: Why it stopped.
        summary: Mean, both ends of its interval and cases of each check, once it has ended.
    """

    id: str
    suite: str
    suite_version: str
    subject: str
    label: str | None
    options: RunOptions
    identity: Mapping[str, Any]
    state: RunState
    problem: str | None
    attempt: int
    total: int
    summary: Mapping[str, tuple[float, float, float, int]] | None
    started_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one case, once."""

    case: str
    repeat: int
    outcome: Outcome
    scores: tuple[Score, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        left_s: How long the rest will probably take; None when nothing is known yet.
    """

    done: int
    total: int
    faults: int
    cost_micros: int
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run will probably take, by the newest run of the same subject; None where there was none.

    Attributes:
        based_on: That run's id.
    """

    cases: int
    seconds: float | None
    cost_micros: int | None
    based_on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run, and the suite it asks."""

    run: Run
    suite: Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Which of two runs' answers a judge finds better, case by case, in both orders.

    Attributes:
        neither: Cases where the order decided, or the judge did not.
        p: How probable so uneven a split is if the judge tossed a coin.
    """

    earlier: int
    later: int
    neither: int
    p: float
