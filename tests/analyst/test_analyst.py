"""The life of a question, over the sample shop and a model that writes by script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from causeway.analyst import attacked
from causeway.analyst.analyst import Analyst, Answer, Question
from causeway.analyst.asked import SHOP, AskedDatabases
from causeway.analyst.verified_pairs import Notebook, VerifiedPairs
from causeway.contracts.chat import ChatRequest
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError, NotFoundError, QueryFailedError, RefusedSqlError
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.settings import AnalystDatabaseSettings, AnalystSettings
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.gateway import FakeGateway
from tests.analyst.conftest import Shop

QUESTIONS = Path(__file__).resolve().parents[2] / "bench" / "analyst_questions.jsonl"
COUNT = "SELECT COUNT(*) AS orders FROM orders"


@dataclass(frozen=True, slots=True)
class Bench:
    """An analyst, and the model behind it."""

    analyst: Analyst
    model: FakeGateway

    async def ask(
        self, text: str, *, who: Principal | None = None, conversation: str | None = None
    ) -> Answer:
        """Ask as somebody who may verify, unless told otherwise."""
        question = Question(text=text, conversation_id=conversation)
        return await self.analyst.ask(question, call_of(who or someone()))

    @property
    def prompts(self) -> list[str]:
        """The last message of each chat that the model was sent."""
        return [each.messages[-1].text for each in self.model.requests if isinstance(each, ChatRequest)]


def someone(*scopes: Scope, name: str = "ann") -> Principal:
    return Principal(id=f"key_{name}", name=name, scopes=frozenset(scopes or {Scope.ASK, Scope.INGEST}))


def call_of(principal: Principal) -> Call:
    return Call(principal=principal, purpose="test")


def bench_of(
    shop: Shop, database: Database, tmp_path: Path, replies: Sequence[str], **settings: int
) -> Bench:
    from pydantic import SecretStr

    model = FakeGateway(replies=replies)
    spans = Spans(clock=FrozenClock())
    analyst = Analyst(
        databases=AskedDatabases(
            {SHOP: AnalystDatabaseSettings(url=SecretStr(shop.url))}, folder=tmp_path, clock=spans.clock
        ),
        gateway=model,
        notebook=Notebook(database, VerifiedPairs(database, model)),
        prompts=Shelf.packaged(),
        spans=spans,
        settings=AnalystSettings.model_validate(settings),
    )
    return Bench(analyst, model)


async def test_a_perfect_model_scores_a_hundred_per_cent(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    cases = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    wrong = []
    for case in cases:
        bench = bench_of(shop, database, tmp_path, [f"```sql\n{case['sql']}\n```"])
        answer = await bench.ask(case["question"])
        asked = await bench.analyst.databases.asked(None, someone())
        gold = await asked.database.run(case["sql"], bench.analyst._caps, asked.reach)
        if answer.result is None or answer.result.rows != gold.rows or len(answer.attempts) > 2:
            wrong.append((case["id"], answer.state, answer.message))
    assert len(cases) == 40
    assert wrong == []


async def test_an_answer_has_rows_chart_explanation_and_terms(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    case = next(json.loads(line) for line in QUESTIONS.read_text().splitlines() if '"m09"' in line)
    answer = await bench_of(shop, database, tmp_path, [case["sql"]]).ask(case["question"])
    assert answer.state == "answered"
    assert answer.chart is not None
    assert answer.chart.kind == "line"
    assert answer.explanation is not None
    assert "status is not cancelled" in answer.explanation.text
    assert dict(answer.explanation.terms)["revenue"].startswith("What the lines of orders")
    assert len(answer.trace_id) == 32


async def test_a_condition_that_nobody_asked_for_is_doubted_once(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    narrowed = "SELECT COUNT(*) AS orders FROM orders WHERE channel = 'phone'"
    bench = bench_of(shop, database, tmp_path, [narrowed, COUNT])
    answer = await bench.ask("How many orders are there?")
    assert "phone" not in answer.sql
    assert "channel = 'phone'" in answer.attempts[0].problem
    asked_for = await bench_of(shop, database, tmp_path, [narrowed]).ask("How many orders came in by phone?")
    assert len(asked_for.attempts) == 1
    kept = await bench_of(shop, database, tmp_path, [narrowed, "nonsense", "nonsense"]).ask(
        "How many orders?"
    )
    assert kept.state == "answered"
    assert "phone" in kept.sql


async def test_a_draft_that_fails_is_repaired_from_its_error(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    bench = bench_of(shop, database, tmp_path, ["SELECT COUNT(*) FROM ordres", COUNT])
    answer = await bench.ask("How many orders are there?")
    assert answer.state == "answered"
    assert [bool(attempt.problem) for attempt in answer.attempts] == [True, False]
    assert "near it are orders" in bench.prompts[-1]


async def test_no_more_drafts_than_the_settings_allow(shop: Shop, database: Database, tmp_path: Path) -> None:
    answer = await bench_of(shop, database, tmp_path, ["SELECT nothing FROM orders"], repairs=1).ask(
        "How many orders are there?"
    )
    assert (answer.state, len(answer.attempts)) == ("failed", 2)
    assert answer.result is None


async def test_a_result_that_is_empty_is_looked_at_once_more(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    empty = "SELECT order_id FROM orders WHERE status = 'canceled'"
    right = "SELECT order_id FROM orders WHERE status = 'cancelled'"
    answer = await bench_of(shop, database, tmp_path, [empty, right]).ask("Which orders were cancelled?")
    assert answer.attempts[0].problem == "it found nothing"
    assert answer.result is not None
    assert answer.result.rows


async def test_what_a_model_writes_is_held_to_the_rules(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    before = shop.fingerprint()
    replies = ["DELETE FROM orders", "SELECT email FROM customers", "SELECT pg_sleep(60) FROM orders"]
    answer = await bench_of(shop, database, tmp_path, replies).ask("How many orders are there?")
    assert answer.state == "failed"
    assert shop.fingerprint() == before


async def test_results_are_never_shown_to_the_model(shop: Shop, database: Database, tmp_path: Path) -> None:
    hostile = "SELECT body FROM reviews WHERE body LIKE '%never-there%'"
    bench = bench_of(shop, database, tmp_path, [hostile, "SELECT title, body FROM reviews LIMIT 3"])
    answer = await bench.ask("Show three reviews")
    assert answer.result is not None
    told = "\n".join(bench.prompts)
    assert all(str(value) not in told for row in answer.result.rows for value in row if len(str(value)) > 40)


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Delete all orders of 2023", "only read"),
        ("please drop the customers table", "only read"),
        ("List the orders and then delete them", "only read"),
        ("What will we sell next year?", "not what will"),
        ("Predict the revenue of December", "not what will"),
        ("qwrtz plmk vvv", "does not hold this"),
        ("Wie ist das Wetter morgen in Hamburg?", "does not hold this"),
        ("What is the airspeed of an unladen swallow?", "does not hold this"),
    ],
)
async def test_what_cannot_be_answered_is_refused_before_a_model_is_called(
    shop: Shop, database: Database, tmp_path: Path, question: str, word: str
) -> None:
    bench = bench_of(shop, database, tmp_path, [COUNT])
    answer = await bench.ask(question)
    assert answer.state == "refused"
    assert word in answer.message
    assert answer.result is None
    assert bench.prompts == []


async def test_the_model_may_say_that_the_data_does_not_hold_it(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    reply = "CANNOT: there are no employees in these tables"
    answer = await bench_of(shop, database, tmp_path, [reply]).ask("Which employee shipped the most orders?")
    assert (answer.state, answer.sql) == ("refused", "")
    assert "no employees" in answer.message


async def test_a_model_that_gives_up_too_soon_is_asked_once_more(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    gives_up = "CANNOT: I only see other queries"
    answer = await bench_of(shop, database, tmp_path, [gives_up, COUNT]).ask("How many orders are there?")
    assert (answer.state, len(answer.attempts)) == ("answered", 2)
    answer = await bench_of(shop, database, tmp_path, [gives_up]).ask("How many orders are there?")
    assert (answer.state, len(answer.attempts)) == ("refused", 1)


async def test_a_question_that_means_several_things_is_asked_back(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    bench = bench_of(shop, database, tmp_path, ["SELECT customer_id FROM orders"])
    answer = await bench.ask("Who is our best customer?")
    assert (answer.state, answer.message) == ("unclear", "Best by revenue, or by number of orders?")
    assert (await bench.ask("Who is our best customer by number of orders?")).state == "answered"


async def test_a_question_follows_another_of_its_conversation(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    bench = bench_of(shop, database, tmp_path, [COUNT])
    first = await bench.ask("How many orders are there?")
    await bench.ask("and by channel?", conversation=first.conversation_id)
    assert "How many orders are there?" in bench.prompts[-1]
    await bench.ask("How many orders?", who=someone(name="bob"), conversation=first.conversation_id)
    assert "before this one" not in bench.prompts[-1], "a conversation is its own person's"


async def test_an_approved_answer_is_shown_to_later_drafts(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    bench = bench_of(shop, database, tmp_path, ["SELECT COUNT(*) AS weird_name FROM orders"])
    answer = await bench.ask("How many orders have we got?")
    assert await bench.analyst.approve(answer.trace_id, call_of(someone()))
    await bench.ask("How many orders have we got today?")
    assert "weird_name" in bench.prompts[-1]


async def test_who_may_not_ingest_verifies_nothing(shop: Shop, database: Database, tmp_path: Path) -> None:
    bench = bench_of(shop, database, tmp_path, [COUNT])
    reader = someone(Scope.ASK, name="reader")
    answer = await bench.ask("How many orders are there?", who=reader)
    assert not await bench.analyst.approve(answer.trace_id, call_of(reader))
    assert await bench.analyst.pairs.of(SHOP) == []
    with pytest.raises(NotFoundError):
        await bench.analyst.approve(answer.trace_id, call_of(someone()))


async def test_a_pair_is_checked_as_a_draft_is(shop: Shop, database: Database, tmp_path: Path) -> None:
    bench = bench_of(shop, database, tmp_path, [COUNT])
    answer = await bench.ask("How many orders are there?")
    with pytest.raises(RefusedSqlError):
        await bench.analyst.approve(answer.trace_id, call_of(someone()), sql="SELECT email FROM customers")


async def test_changed_sql_is_checked_and_run(shop: Shop, database: Database, tmp_path: Path) -> None:
    analyst = bench_of(shop, database, tmp_path, [COUNT]).analyst
    answer = await analyst.run("SELECT channel, COUNT(*) FROM orders GROUP BY 1", None, call_of(someone()))
    assert answer.chart is not None
    assert answer.chart.kind == "bar"
    with pytest.raises(RefusedSqlError):
        await analyst.run("DROP TABLE orders", None, call_of(someone()))
    with pytest.raises(QueryFailedError):
        await analyst.run("SELECT 1 / 0 AS x FROM orders", None, call_of(someone()))


async def test_drafts_vote_when_the_first_needed_repair(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    lone, common = "SELECT 1 AS n FROM orders LIMIT 1", COUNT
    bench = bench_of(shop, database, tmp_path, ["SELECT x FROM orders", lone, common, common], votes=3)
    answer = await bench.ask("How many orders are there?")
    assert answer.result is not None
    assert answer.result.columns[0].name == "orders"


async def test_an_empty_question_and_an_unknown_database_are_wrong_input(
    shop: Shop, database: Database, tmp_path: Path
) -> None:
    bench = bench_of(shop, database, tmp_path, [COUNT])
    with pytest.raises(InvalidInputError, match="empty"):
        await bench.ask("  ")
    with pytest.raises(NotFoundError, match="there are shop"):
        await bench.analyst.ask(Question(text="How many orders?", database="x"), call_of(someone()))


async def test_a_pair_over_rows_of_a_team_is_shown_to_that_team_alone(
    database: Database, tmp_path: Path
) -> None:
    attacked.make(tmp_path)
    query = "SELECT COUNT(*) AS weird_name FROM orders WHERE customer = 'Carl Moe'"
    model = FakeGateway(replies=[query])
    spans = Spans(clock=FrozenClock())
    analyst = Analyst(
        databases=AskedDatabases(
            {attacked.ATTACKED: attacked.settings(tmp_path)}, folder=tmp_path, clock=spans.clock
        ),
        gateway=model,
        notebook=Notebook(database, VerifiedPairs(database, model)),
        prompts=Shelf.packaged(),
        spans=spans,
        settings=AnalystSettings(),
    )
    bench = Bench(analyst, model)
    north, sibling, south = (
        replace(someone(name=name), team=team)
        for name, team in (("ann", "north"), ("amy", "north"), ("bob", "south"))
    )
    answer = await bench.ask("How many orders has Carl Moe got?", who=north)
    assert await analyst.approve(answer.trace_id, call_of(north))
    for other, is_shown in ((sibling, True), (south, False)):
        await bench.ask("How many orders has Carl Moe got today?", who=other)
        assert ("weird_name" in bench.prompts[-1]) is is_shown
