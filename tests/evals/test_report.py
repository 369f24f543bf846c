from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from causeway.evals.gate import compare_runs, judge_gate
from causeway.evals.outcome import Outcome, Score
from causeway.evals.report import junit, markdown
from causeway.evals.run import Result
from tests.evals.test_gate import even

AT = datetime(2026, 11, 27, tzinfo=UTC)


def _result(case: str, passed: bool | None, reason: str = "", **outcome: object) -> Result:
    scores = () if passed is None else (Score(name="passed", value=1.0, passed=passed, reason=reason),)
    return Result(case=case, repeat=0, outcome=Outcome(**outcome), scores=scores, at=AT)  # type: ignore[arg-type]  # given


RESULTS = [
    _result("right", True, took_ms=1500, text="45 days"),
    _result("wrong", False, "facts: misses <45 days>", text="30 days \x00"),
    _result("gone", False, "upstream_error: gone", fault="upstream_error: gone"),
]


def test_a_page_has_scores_with_intervals_and_what_failed() -> None:
    before, after = even(45), even(35)
    comparison = compare_runs(before, after)
    page = markdown(after, RESULTS, comparison=comparison, ruling=judge_gate(after, comparison))
    assert "**The gate stops it.**" in page
    assert "| passed | 0.70 | 0.56 to 0.81 | 50 |" in page
    assert "| passed **worse** | 0.90 | 0.70 | 10, 0 |" in page
    assert "- **wrong**: facts: misses <45 days>" in page
    assert page.count("**right**") == 0


def test_a_build_server_is_told_failures_apart_from_faults() -> None:
    root = ElementTree.fromstring(junit(even(3, 3), RESULTS, judge_gate(even(3, 3), None)))  # noqa: S314 - our own
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
    }
    cases = {case.get("name"): case for case in root}
    failure = cases["wrong"].find("failure")
    assert failure is not None
    assert failure.get("message") == "facts: misses <45 days>"
    assert failure.text == "30 days "
    assert cases["right"].get("time") == "1.500"
    assert cases["gone"].find("error") is not None


def test_a_broken_gate_is_a_test_that_failed() -> None:
    later = even(49, check="no canary")
    root = ElementTree.fromstring(junit(later, [], judge_gate(later, None)))  # noqa: S314 - our own
    gate = root.find("testcase[@name='gate']/failure")
    assert gate is not None
    assert "must always hold" in (gate.get("message") or "")
