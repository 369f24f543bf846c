from __future__ import annotations

import json
from pathlib import Path

import pytest

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.record import CaseRecord, Record
from tests.cli.conftest import Run


def test_the_packaged_suites_are_listed(run: Run) -> None:
    listed = run("evals", "suites").output
    assert "sample-company         50 cases" in listed
    assert "red-team              161 cases" in listed


def test_a_suite_that_is_not_there_is_named(run: Run) -> None:
    with pytest.raises(NotFoundError, match="no suite is called 'nothing'"):
        run("evals", "run", "nothing")


def test_a_half_or_tag_without_cases_is_refused(run: Run) -> None:
    with pytest.raises(InvalidInputError, match="no case tagged 'none'"):
        run("evals", "run", "sample-company", "--tag", "none")


def test_a_baseline_that_is_not_there_is_named_before_anything_runs(run: Run) -> None:
    with pytest.raises(NotFoundError, match=r"evals/baselines/main/sample-company\.retrieval\.json"):
        run("evals", "run", "sample-company", "--subject", "retrieval", "--baseline", "main")


def test_without_runs_the_list_is_empty(run: Run) -> None:
    assert json.loads(run("evals", "list", "--json").stdout) == {"runs": []}


def test_the_committed_baselines_are_of_the_packaged_suite(run: Run) -> None:
    from causeway.evals.record import digest_of
    from causeway.evals.suite_files import find_suite

    digests = {case.name: digest_of(case) for case in find_suite("sample-company").cases}
    folder = Path(__file__).parents[2] / "evals" / "baselines" / "main"
    kept = sorted(folder.glob("sample-company.*.json"))
    assert kept
    for path in kept:
        record = Record.read(path)
        assert {name: case.digest for name, case in record.cases.items()} == digests, path.name


def test_what_a_baseline_holds_is_json(tmp_path: Path) -> None:
    case = CaseRecord(digest="d", page="p", scores={"passed": 1.0})
    record = Record(
        run="r", suite="s", suite_version="v", subject="k", identity={"a": 1}, cases={"one": case}
    )
    record.write(tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["cases"]["one"]["scores"] == {"passed": 1.0}
