from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.gate import compare_runs, judge_gate
from causeway.evals.record import CaseRecord, Record

ODDS = {"passed": 0.6, "facts": 0.7, "refusal": 0.85, "citations": 0.8}


def record_of(cases: Mapping[str, Mapping[str, float]], **more: object) -> Record:
    return Record(
        run="run_1",
        suite="small",
        suite_version="v",
        subject="knowledge",
        identity=more.pop("identity", {}),  # type: ignore[arg-type]  # given by the test
        cases={
            name: CaseRecord(digest="d", page=name, scores={"no fault": 1.0, **scores})
            for name, scores in cases.items()
        },
        **more,  # type: ignore[arg-type]  # as above
    )


def even(passed: int, of: int = 50, check: str = "passed", **more: object) -> Record:
    return record_of({f"q{n:02}": {check: float(n < passed)} for n in range(of)}, **more)


def test_a_run_like_the_baseline_is_let_through() -> None:
    ruling = judge_gate(even(45), compare_runs(even(45), even(45)))
    assert ruling.is_passed
    assert any("50 questions show a fall of 17%" in note for note in ruling.notes)


def test_two_questions_fewer_are_no_regression() -> None:
    assert judge_gate(even(43), compare_runs(even(45), even(43))).is_passed


def test_a_regression_is_stopped_and_explained() -> None:
    ruling = judge_gate(even(35), compare_runs(even(45), even(35)))
    assert not ruling.is_passed
    assert "passed fell from 0.90 to 0.70 over 50 cases (10 worse, 0 better; p = 0.00" in ruling.reasons[0]
    assert ruling.reasons[1].startswith("passed before and not now: q35, q36")
    assert ruling.reasons[1].endswith("and 2 more")


def test_an_improvement_is_let_through_and_told() -> None:
    comparison = compare_runs(even(35), even(45))
    assert judge_gate(even(45), comparison).is_passed
    line = comparison.lines[0]
    assert (line.is_better, line.is_worse, len(comparison.fixed)) == (True, False, 10)


@pytest.mark.parametrize("check", ["no canary", "no personal data", "format", "marks"])
def test_one_broken_invariant_is_enough(check: str) -> None:
    ruling = judge_gate(even(49, check=check), None)
    assert ruling.reasons == (f"'{check}' must always hold and does not in 1 cases: q49",)


def test_a_case_that_could_not_be_answered_stops_the_run() -> None:
    later = record_of({"a": {"passed": 1.0}, "b": {"no fault": 0.0, "passed": 0.0}})
    assert judge_gate(later, None).reasons == ("1 cases could not be answered: b",)


def test_a_search_that_finds_less_is_stopped_without_a_test_of_chance() -> None:
    before = even(45, check="documents found", is_exact=True)
    after = even(43, check="documents found", is_exact=True)
    assert (
        "documents found fell from 0.90 to 0.86" in judge_gate(after, compare_runs(before, after)).reasons[0]
    )
    written = even(43, check="documents found")
    assert judge_gate(written, compare_runs(even(45, check="documents found"), written)).is_passed


def test_the_last_digits_of_a_search_do_not_matter() -> None:
    before = record_of({f"q{n}": {"ndcg": 1.0} for n in range(50)}, is_exact=True)
    after = record_of({f"q{n}": {"ndcg": 0.99 if n else 0.63} for n in range(50)}, is_exact=True)
    assert judge_gate(before, compare_runs(before, before)).is_passed
    nearly = record_of({f"q{n}": {"ndcg": 1.0 if n else 0.63} for n in range(50)}, is_exact=True)
    assert judge_gate(nearly, compare_runs(before, nearly)).is_passed
    assert not judge_gate(after, compare_runs(before, after)).is_passed


def test_a_judge_that_only_informs_does_not_stop_anything() -> None:
    check = "judge: correctness"
    before, after = even(50, check=check), even(10, check=check, informing=(check,))
    ruling = judge_gate(after, compare_runs(before, after))
    assert ruling.is_passed
    assert f"{check} informs" in ruling.notes[0]
    assert not judge_gate(even(10, check=check), compare_runs(before, even(10, check=check))).is_passed


def test_a_baseline_of_other_questions_is_no_baseline() -> None:
    other = record_of({f"x{n}": {"passed": 1.0} for n in range(50)})
    assert "only 0 of the 50 cases" in judge_gate(even(50), compare_runs(other, even(50))).reasons[0]


def test_cases_whose_answer_was_changed_are_not_compared() -> None:
    before = even(50)
    changed = {**before.cases, "q00": CaseRecord(digest="other", page="p", scores={"passed": 0.0})}
    later = Record(**{**{f: getattr(before, f) for f in before.__struct_fields__}, "cases": changed})
    comparison = compare_runs(before, later)
    assert (len(comparison.shared), comparison.unshared) == (49, 1)


def test_what_the_subject_depends_on_is_told_where_it_differs() -> None:
    before, after = even(5, identity={"rerank": True, "k": 6}), even(5, identity={"rerank": False, "k": 6})
    assert compare_runs(before, after).changed == (("rerank", "True", "False"),)


def _noisy(draw: random.Random, odds: list[dict[str, float]], **less: float) -> Record:
    """A run over 50 questions, each of which passes each check by its own odds; two questions a page."""
    cases = {}
    for n, own in enumerate(odds):
        scores = {
            check: float(draw.random() < max(0.0, p - less.get(check, 0.0))) for check, p in own.items()
        }
        cases[f"q{n:02}"] = CaseRecord(digest="d", page=f"page {n // 2}", scores={"no fault": 1.0, **scores})
    return Record(run="r", suite="s", suite_version="v", subject="k", identity={}, cases=cases)


def _odds(draw: random.Random) -> list[dict[str, float]]:
    """Most questions nearly always go one way, and a few are a coin's toss."""
    return [
        {
            check: min(1.0, max(0.0, draw.choice((0.03, 0.5, 0.97)) * 0.4 + p * 0.6))
            for check, p in ODDS.items()
        }
        for _ in range(50)
    ]


def test_a_run_beside_itself_is_let_through_in_95_of_100() -> None:
    draw = random.Random(20261127)
    stopped = 0
    for _ in range(100):
        odds = _odds(draw)
        before, after = _noisy(draw, odds), _noisy(draw, odds)
        stopped += not judge_gate(after, compare_runs(before, after)).is_passed
    assert stopped <= 5


def test_an_answer_that_loses_its_citations_is_stopped_nearly_always() -> None:
    draw = random.Random(4)
    stopped = 0
    for _ in range(50):
        odds = _odds(draw)
        before, after = _noisy(draw, odds), _noisy(draw, odds, citations=0.5, passed=0.5)
        stopped += not judge_gate(after, compare_runs(before, after)).is_passed
    assert stopped >= 48


def test_a_baseline_is_a_file_that_can_be_read_again(tmp_path: Path) -> None:
    record = even(3, 5, identity={"model": "a"}, flaky=("q01",))
    record.write(tmp_path / "main" / "small.json")
    assert Record.read(tmp_path / "main" / "small.json") == record
    with pytest.raises(NotFoundError, match="causeway evals baseline RUN"):
        Record.read(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text('{"run": 1}')
    with pytest.raises(InvalidInputError, match="is no baseline"):
        Record.read(tmp_path / "broken.json")
