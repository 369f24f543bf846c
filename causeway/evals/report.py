"""Runs and comparisons for people and for build servers: Markdown, and JUnit's XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from causeway.evals.calibration import Calibration
from causeway.evals.checks import INVARIANTS, PASSED
from causeway.evals.gate import Comparison, Ruling
from causeway.evals.judge import GATE_KAPPA
from causeway.evals.record import CaseRecord, Record
from causeway.evals.run import Result
from causeway.evals.statistics import detectable

_MOST_FAILURES: Final = 30
_MOST_TAGS: Final = 12


def markdown(
    record: Record,
    results: Sequence[Result],
    *,
    comparison: Comparison | None = None,
    ruling: Ruling | None = None,
) -> str:
    """A page about a run, beside a baseline where there is one."""
    lines = [f"# {record.suite} against {record.subject}", "", f"Run `{record.run}`, {_size(record)}.", ""]
    if ruling is not None:
        lines += [*_ruling(ruling), ""]
    lines += [*_scores(record), ""]
    if comparison is not None:
        lines += [*_comparison(comparison), ""]
    lines += [*_tags(record), "", *_failures(results)]
    return "\n".join(lines).rstrip() + "\n"


def overview(runs: Sequence[tuple[Record, Ruling]]) -> str:
    """A line a subject: what must always hold, what is measured, and the gate's word."""
    lines = [
        f"# {runs[0][0].suite} against {len(runs)} subjects",
        "",
        "| subject | cases | rules held | passed, 95% interval | gate |",
        "|---|---:|---:|---|---|",
    ]
    for record, ruling in runs:
        held = sum(_holds(case) for case in record.cases.values())
        passed, decided = record.interval(PASSED)
        shown = (
            f"{passed.estimate:.2f}, {passed.low:.2f} to {passed.high:.2f} of {decided}" if decided else ""
        )
        word = "let through" if ruling.is_passed else f"stopped: {ruling.reasons[0]}"
        lines.append(f"| {record.subject} | {len(record.cases)} | {held} | {shown} | {word} |")
    return "\n".join(lines) + "\n"


def _passed(record: Record) -> str:
    passed, cases = record.interval(PASSED)
    return f"{passed.estimate:.2f}, {passed.low:.2f} to {passed.high:.2f} of {cases}"


def _holds(case: CaseRecord) -> bool:
    """Whether no invariant is broken in a case."""
    return all(case.scores.get(check, 1.0) == 1.0 for check in INVARIANTS)


def junit(record: Record, results: Sequence[Result], ruling: Ruling | None = None) -> str:
    """The cases as a build server's tests; a broken gate is one more that failed."""
    return _as_xml(junit_suite(record, results, ruling))


def junit_of(suites: Sequence[ElementTree.Element]) -> str:
    """Several of `junit_suite` in one file."""
    whole = ElementTree.Element("testsuites")
    whole.extend(suites)
    return _as_xml(whole)


def junit_suite(
    record: Record, results: Sequence[Result], ruling: Ruling | None = None
) -> ElementTree.Element:
    """What `junit` writes, as an element."""
    suite = ElementTree.Element("testsuite", name=f"{record.suite} against {record.subject}")
    counts = {"tests": 0, "failures": 0, "errors": 0}
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            name=result.case if result.repeat == 0 else f"{result.case} ({result.repeat + 1})",
            classname=record.suite,
            time=f"{result.outcome.took_ms / 1000:.3f}",
        )
        counts["tests"] += 1
        failed = next((score for score in result.scores if score.name == PASSED and not score.passed), None)
        if result.outcome.fault is not None:
            counts["errors"] += 1
            ElementTree.SubElement(case, "error", message=_clean(result.outcome.fault))
        elif failed is not None:
            counts["failures"] += 1
            ElementTree.SubElement(case, "failure", message=_clean(failed.reason)).text = _clean(
                result.outcome.text
            )
    if ruling is not None:
        gate = ElementTree.SubElement(suite, "testcase", name="gate", classname=record.suite)
        counts["tests"] += 1
        if ruling.reasons:
            counts["failures"] += 1
            ElementTree.SubElement(gate, "failure", message=_clean("; ".join(ruling.reasons)))
    for name, count in counts.items():
        suite.set(name, str(count))
    return suite


def _as_xml(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def agreement(found: Calibration) -> str:
    """How well a judge agrees with people, as Markdown."""
    lines = [
        f"Kappa {found.held_out.kappa:.2f} on the held-out half, at a threshold of {found.threshold:+.2f}: the judge "
        + (
            "may gate."
            if found.trust.may_gate
            else f"informs and gates nothing, for that is below {GATE_KAPPA}."
        ),
        "",
        "| half | rightly yes | rightly no | wrongly yes | wrongly no | abstained | accuracy | kappa |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for half, each in (("development", found.development), ("held out", found.held_out)):
        counts = (each.right_yes, each.right_no, each.wrong_yes, each.wrong_no, each.abstained)
        lines.append(f"| {half} | {' | '.join(map(str, counts))} | {each.accuracy:.2f} | {each.kappa:.2f} |")
    return "\n".join(lines)


def _size(record: Record) -> str:
    cases = len(record.cases)
    least = None if record.is_exact else detectable(cases)
    shown = f"; beside another run they show a fall of {least:.0%} or more" if least is not None else ""
    return f"{cases} cases{shown}"


def _ruling(ruling: Ruling) -> Iterator[str]:
    yield "**The gate lets it through.**" if ruling.is_passed else "**The gate stops it.**"
    yield ""
    yield from (f"- {reason}" for reason in ruling.reasons)
    yield from (f"- {note} (note)" for note in ruling.notes)


def _scores(record: Record) -> Iterator[str]:
    yield "| check | mean | 95% interval | cases |"
    yield "|---|---:|---:|---:|"
    for check in record.checks():
        interval, cases = record.interval(check)
        informs = " (informs)" if check in record.informing else ""
        yield (
            f"| {check}{informs} | {interval.estimate:.2f} | {interval.low:.2f} to {interval.high:.2f} | {cases} |"
        )


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield f"## Beside `{comparison.earlier.run}`"
    yield ""
    yield f"{len(comparison.shared)} cases are the same in both; {comparison.unshared} are not."
    yield ""
    yield "| check | before | now | worse, better | difference | p of worse |"
    yield "|---|---:|---:|---:|---:|---:|"
    for line in comparison.lines:
        paired = line.paired
        mark = " **worse**" if line.is_worse else " **better**" if line.is_better else ""
        yield (
            f"| {line.check}{mark} | {line.earlier:.2f} | {line.later:.2f} | {paired.broken}, {paired.fixed} | "
            f"{paired.difference.low:+.2f} to {paired.difference.high:+.2f} | {paired.p_worse:.3f} |"
        )
    for what, names in (("Passed before and not now", comparison.broken), ("Passes now", comparison.fixed)):
        if names:
            yield ""
            yield f"{what}: {', '.join(names)}."
    for key, before, after in comparison.changed:
        yield ""
        yield f"`{key}` was {before or 'not there'} and is {after or 'not there'}."


def _tags(record: Record) -> Iterator[str]:
    tags = record.tags()[:_MOST_TAGS]
    if tags:
        yield "| tag | passed | 95% interval | cases |"
        yield "|---|---:|---:|---:|"
    for tag in tags:
        interval, cases = record.interval(PASSED, tag=tag)
        if cases:
            yield f"| {tag} | {interval.estimate:.2f} | {interval.low:.2f} to {interval.high:.2f} | {cases} |"


def _failures(results: Sequence[Result]) -> Iterator[str]:
    failed = [
        (result, score.reason)
        for result in results
        for score in result.scores
        if score.name == PASSED and score.passed is False
    ]
    if failed:
        yield f"## {len(failed)} did not pass"
        yield ""
    for result, reason in failed[:_MOST_FAILURES]:
        yield f"- **{result.case}**: {' '.join(reason.split())}"
    if len(failed) > _MOST_FAILURES:
        yield f"- and {len(failed) - _MOST_FAILURES} more"


def _clean(text: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return "".join(
        character
        for character in text
        if character in "\t\n\r" or (ord(character) >= 32 and character != "\uffff")
    )
