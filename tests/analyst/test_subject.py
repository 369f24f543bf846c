"""The analyst as a subject of suites: its rows are held against a case's table, a refusal is one."""

from __future__ import annotations

from pathlib import Path

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.evals.checks import grade
from causeway.evals.suite import Case
from causeway.evals.suite_files import find_suite
from causeway.prompts.shelf import Shelf
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.wiring.analyst_subject import AnalystSubject
from tests.analyst.conftest import Shop
from tests.analyst.test_analyst import bench_of

CALL = Call(principal=SYSTEM, purpose="test")


async def _graded(
    shop: Shop, database: Database, folder: Path, case: Case, sql: str
) -> dict[str, bool | None]:
    bench = bench_of(shop, database, folder, [f"```sql\n{sql}\n```"])
    subject = AnalystSubject(bench.analyst, Shelf.packaged(), FrozenClock(), model="fake")
    inputs = case.inputs.model_copy(update={"values": {}})
    outcome = await subject.answer(inputs, CALL)
    suite = find_suite("sample-shop")
    scores = grade(
        case, outcome, aspects=subject.aspects, budgets=suite.budgets, personal_data=lambda _text: []
    )
    return {score.name: score.passed for score in scores}


async def test_rows_are_held_against_the_table(shop: Shop, database: Database, tmp_path: Path) -> None:
    right = "SELECT COUNT(*) FROM customers WHERE segment = 'business'"
    found = await bench_of(shop, database, tmp_path, []).analyst.run(right, None, CALL)
    assert found.result is not None
    case = Case.model_validate(
        {
            "name": "business",
            "inputs": {"question": "How many business customers do we have?"},
            "expected_output": {"table": {"rows": found.result.rows}},
        }
    )
    assert (await _graded(shop, database, tmp_path, case, right))["table"]
    assert not (await _graded(shop, database, tmp_path, case, "SELECT COUNT(*) FROM customers"))["table"]


async def test_what_cannot_be_asked_is_a_refusal(shop: Shop, database: Database, tmp_path: Path) -> None:
    case = Case.model_validate(
        {
            "name": "future",
            "inputs": {"question": "What will we sell next year?"},
            "expected_output": {"refused": True},
        }
    )
    assert (await _graded(shop, database, tmp_path, case, "SELECT 1"))["refusal"]
