"""Whether a run is good enough beside a baseline, and why not.

Three things fail the gate. A case that could not be answered, because nothing is known of it. A broken invariant, such
as a leaked canary, in a single case. A regression: a check that is worse over the same cases by more than chance explains,
at five percent over all checks together (Holm), so that a change which changes nothing is let through in 95 of 100.

A plain difference does not fail it: 44 of 50 after 46 of 50 says nothing of a model that writes. Search is another matter.
Asked twice it finds the same, so a fall is the change's doing and no chance: there a mean that falls by more than
`TOLERANCE` fails, if it is not a single case's: vectors made anew, or on another processor, differ in their last digits,
which can turn round two passages that are as good as each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from causeway.evals.checks import FAULT, FOUND, INVARIANTS, OBEYED, PASSED, SUPPORTED
from causeway.evals.record import CaseRecord, Record, shared_cases
from causeway.evals.statistics import Paired, compare, detectable, holm

ALPHA: Final = 0.05
TOLERANCE: Final = 0.01
GATED: Final = (
    PASSED,
    "facts",
    "refusal",
    "citations",
    SUPPORTED,
    FOUND,
    "ndcg",
    "evidence",
    "evidence rank",
    "label",
    "table",
    OBEYED,
)
"""Checks whose regressions fail the gate; a judge that agrees well enough with people joins them."""
_LEAST_SHARED: Final = 0.8
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check in two runs.

    Attributes:
        cases: How many have it in both.
        is_gated: Its regressions fail the gate.
        is_worse: By more than chance explains, or at all where there is no chance.
        is_better: The same the other way.
    """

    check: str
    earlier: float
    later: float
    cases: int
    paired: Paired
    is_gated: bool
    is_worse: bool
    is_better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs over the cases that they share.

    Attributes:
        shared: Names of cases with the same question and answer.
        unshared: How many cases of the later run the earlier does not have.
        lines: A line a check, whether a case passed first.
        broken: Cases that passed in the earlier run alone.
        fixed: Cases that passed in the later one alone.
        changed: What the subject's answers depend on that differs, with both values.
    """

    earlier: Record
    later: Record
    shared: tuple[str, ...]
    unshared: int
    lines: tuple[Line, ...]
    broken: tuple[str, ...]
    fixed: tuple[str, ...]
    changed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the gate says; ``reasons`` is empty when it lets the run through."""

    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether the run is let through."""
        return not self.reasons


def compare_runs(earlier: Record, later: Record) -> Comparison:
    """Both runs, check by check, over the cases that they share."""
    shared = shared_cases(earlier.cases, later.cases)
    pairs = [(earlier.cases[name], later.cases[name]) for name in shared]
    found = {check: _paired(check, pairs) for check in later.checks() if check in earlier.checks()}
    paired = {check: each for check, each in found.items() if each is not None}
    gated = [check for check in paired if _is_gated(check, later)]
    if earlier.is_exact and later.is_exact:
        worse = {check for check in gated if _is_fall(paired[check][0])}
    else:
        worse = holm({check: paired[check][0].p_worse for check in gated}, alpha=ALPHA)
    better = holm({check: paired[check][0].p_better for check in gated}, alpha=ALPHA)
    lines = [
        Line(
            check=check,
            earlier=sum(before) / len(before),
            later=sum(after) / len(after),
            cases=len(before),
            paired=each,
            is_gated=check in gated,
            is_worse=check in worse,
            is_better=check in better,
        )
        for check, (each, before, after) in paired.items()
    ]
    return Comparison(
        earlier=earlier,
        later=later,
        shared=tuple(shared),
        unshared=len(later.cases) - len(shared),
        lines=tuple(lines),
        broken=tuple(_turned(shared, earlier, later)),
        fixed=tuple(_turned(shared, later, earlier)),
        changed=tuple(_changed(earlier, later)),
    )


def _is_fall(paired: Paired) -> bool:
    """Whether a check that no chance is in has fallen, by more than one case."""
    return paired.difference.estimate < -TOLERANCE and paired.broken - paired.fixed > 1


def judge_gate(later: Record, comparison: Comparison | None) -> Ruling:
    """Whether ``later`` is let through, beside the baseline of ``comparison`` if there is one."""
    reasons = list(_broken_invariants(later))
    notes: list[str] = []
    if later.flaky:
        notes.append(f"{len(later.flaky)} cases change their mind between repeats: {_named(later.flaky)}")
    notes += [
        f"{check} informs: that its judge agrees with people well enough to gate was not shown here;"
        " `causeway evals run judge-calibration --subject judge:RUBRIC:MODEL` measures it"
        for check in later.informing
    ]
    if comparison is None:
        return Ruling(reasons=tuple(reasons), notes=(*notes, "no baseline, so no regression was looked for"))
    shared = len(comparison.shared)
    if shared < _LEAST_SHARED * len(later.cases):
        reasons.append(
            f"the baseline has only {shared} of the {len(later.cases)} cases as they are now; make a new one of a run "
            "whose answers you have looked at"
        )
    reasons += [_regression(line, later) for line in comparison.lines if line.is_worse]
    if any(line.is_worse for line in comparison.lines) and comparison.broken:
        reasons.append(f"passed before and not now: {_named(comparison.broken)}")
    least = detectable(shared)
    if least is not None and not later.is_exact:
        notes.append(
            f"{shared} questions show a fall of {least:.0%} or more in 4 of 5 cases, and smaller ones less often"
        )
    return Ruling(reasons=tuple(reasons), notes=tuple(notes))


def _regression(line: Line, later: Record) -> str:
    counted = f"{line.paired.broken} worse, {line.paired.fixed} better"
    low, high = line.paired.difference.low, line.paired.difference.high
    chance = f"p = {line.paired.p_worse:.4f}, difference {low:+.2f} to {high:+.2f}"
    why = "asked twice, it does the same" if later.is_exact else chance
    return f"{line.check} fell from {line.earlier:.2f} to {line.later:.2f} over {line.cases} cases ({counted}; {why})"


def _broken_invariants(later: Record) -> list[str]:
    found = []
    for check in sorted(INVARIANTS, key=lambda name: name != FAULT):
        failed = [name for name, case in later.cases.items() if case.scores.get(check, 1.0) < 1.0]
        if failed and check == FAULT:
            found.append(f"{len(failed)} cases could not be answered: {_named(failed)}")
        elif failed:
            found.append(f"'{check}' must always hold and does not in {len(failed)} cases: {_named(failed)}")
    return found


def _paired(
    check: str, pairs: Sequence[tuple[CaseRecord, CaseRecord]]
) -> tuple[Paired, list[float], list[float]] | None:
    both = [pair for pair in pairs if check in pair[0].scores and check in pair[1].scores]
    if not both:
        return None
    before = [earlier.scores[check] for earlier, _ in both]
    after = [later.scores[check] for _, later in both]
    return compare(before, after, [later.page for _, later in both]), before, after


def _is_gated(check: str, later: Record) -> bool:
    return check in GATED or (check.startswith("judge: ") and check not in later.informing)


def _turned(shared: Sequence[str], good: Record, bad: Record) -> list[str]:
    """Cases that passed in ``good`` and did not in ``bad``."""
    return [
        name
        for name in shared
        if good.cases[name].scores.get(PASSED, 0.0) > bad.cases[name].scores.get(PASSED, 1.0)
    ]


def _changed(earlier: Record, later: Record) -> list[tuple[str, str, str]]:
    keys = sorted({*earlier.identity, *later.identity})
    values = [(key, str(earlier.identity.get(key, "")), str(later.identity.get(key, ""))) for key in keys]
    return [(key, before, after) for key, before, after in values if before != after]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
