"""Measures the analyst: right answers of the naive prompt and of the pipeline, by the same local model.

    python bench/analyst.py --shop bench/analyst_questions.jsonl --public ../shared/data/sql/defog [--every 8] [--out FILE]

Loads the sample shop (small) into the data folder of the settings. *Naive* is the whole schema as CREATE TABLE statements and
the question, one reply, run as it is. *Pipeline* is what `POST /api/analyst/ask` does. With *pairs*, the shop's other
39 questions with their SQL are verified pairs (leave-one-out); those that come with the semantic layer are left out. A query is right when it returns the gold rows: floats to one
part in ten thousand, rows in any order, columns in any order and under any name, at most two further columns; a share may be a percentage, a month its number. ``--perfect`` replaces the model by one that writes the gold query: what the rest of the pipeline
loses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench.machine import describe
from causeway import settings as configuration
from causeway.analyst import draft_sql, shop_tables, sql_rules
from causeway.analyst.analyst import Analyst, Answer, Question
from causeway.analyst.asked import SHOP, AskedDatabases
from causeway.analyst.result import Caps, Row
from causeway.analyst.semantic_layer import Pair
from causeway.analyst.verified_pairs import Notebook, VerifiedPairs
from causeway.contracts.chat import ChatReply, ChatRequest, Message, StopReason, Usage
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.errors import CausewayError, QueryFailedError
from causeway.observability.spans import Spans
from causeway.product_sections import AnalystDatabaseSettings
from causeway.prompts.shelf import Shelf
from causeway.wiring import Platform, Work, load_shop, open_platform

_CALL = Call(principal=SYSTEM, purpose="bench", may_cache=False)
_CAPS = Caps(timeout_s=20.0, rows=20_000, cost=0)
_MOST_FURTHER_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """A question with every query that answers it; ``pair`` is the one that somebody would approve, where it is another."""

    id: str
    level: str
    database: str
    question: str
    gold: tuple[str, ...]
    pair: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question in one configuration."""

    case: Case
    is_right: bool
    state: str
    seconds: float
    first_sql_s: float
    rest_ms: float
    attempts: int
    note: str


_REWRITTEN = {
    "defog-gen-203": "WITH balances AS (SELECT w.balance, ROW_NUMBER() OVER (ORDER BY w.balance) AS place, COUNT(*) OVER () AS n "
    "FROM wallet_merchant_balance_daily AS w JOIN merchants AS m ON m.mid = w.merchant_id WHERE LOWER(m.category) LIKE '%retail%' "
    "AND m.status = 'active' AND DATE(w.updated_at) = DATE('now')) "
    "SELECT AVG(balance) AS median_balance FROM balances WHERE place IN ((n + 1) / 2, (n + 2) / 2)",
    "defog-adv-22": "WITH months AS ("
    + " UNION ALL ".join(
        f"SELECT DATE('now', '-{ago} months', 'start of month') AS month_start" for ago in range(6, 0, -1)
    )
    + "), found AS (SELECT strftime('%Y-%m', s.sale_date) AS sale_month, COUNT(s.id) AS n, SUM(s.sale_price) AS revenue FROM sales AS s "
    "JOIN salespersons AS p ON s.salesperson_id = p.id WHERE strftime('%Y', p.hire_date) BETWEEN '2022' AND '2023' "
    "AND s.sale_date >= DATE('now', '-6 months', 'start of month') AND s.sale_date < DATE('now', 'start of month') GROUP BY 1) "
    "SELECT m.month_start, COALESCE(f.n, 0) AS pmsps, COALESCE(f.revenue, 0) AS pmsr FROM months AS m "
    "LEFT JOIN found AS f ON strftime('%Y-%m', m.month_start) = f.sale_month ORDER BY m.month_start",
}
"""What a perfect model writes once it has been told that its query is not allowed: two of 314 gold queries are not.

Run by SQLite itself, each returns what its gold query returns; the analyst's connection refuses the gold ones.
"""


class _Perfect:
    """A model that writes the gold query of the question that its prompt ends with, and the same otherwise when that is refused."""

    def __init__(self, cases: Sequence[Case], inner: Any) -> None:
        self._gold = {case.question: case.gold[0] for case in cases}
        self._again = {case.question: _REWRITTEN[case.id] for case in cases if case.id in _REWRITTEN}
        self._inner = inner

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:  # noqa: ARG002
        question = request.messages[1].text.rstrip().rpartition("Question: ")[2]
        queries = self._again if len(request.messages) > 2 and question in self._again else self._gold
        text = f"```sql\n{queries[question]}\n```"
        return ChatReply(text=text, model="perfect", stop_reason=StopReason.END, usage=Usage())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Pairs(VerifiedPairs):
    """Pairs that are given, in place of a table's."""

    given: Sequence[Pair] = ()

    async def of(self, name: str, asker_values: Mapping[str, str] | None = None) -> list[Pair]:  # noqa: ARG002
        return list(self.given)


def main() -> None:
    """Run what is asked for; print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shop", type=Path)
    parser.add_argument("--public", type=Path)
    parser.add_argument("--every", type=int, default=8, help="of the public questions, every Nth")
    parser.add_argument("--shop-every", type=int, default=1)
    parser.add_argument("--offset", type=int, default=0, help="the first question of those that are taken")
    parser.add_argument("--perfect", action="store_true")
    parser.add_argument("--skip-naive", action="store_true")
    parser.add_argument("--log", type=Path, help="append one line of JSON an answer")
    parser.add_argument(
        "--verify", action="store_true", help="run the shop's pairs beside its gold queries, and ask nothing"
    )
    parser.add_argument("--regrade", type=Path, help="run the queries of a log anew and write it anew")
    parser.add_argument("--report", type=Path, help="print the page of a log, and ask nothing")
    arguments = parser.parse_args()
    if arguments.report:
        _print(_read_log(arguments.report), arguments)
    elif arguments.verify:
        asyncio.run(_verify(arguments))
    elif arguments.regrade:
        asyncio.run(_regrade(arguments))
    else:
        asyncio.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> None:
    settings = configuration.load()
    log = arguments.log.open("a") if arguments.log else None
    found: dict[str, list[Outcome]] = {}
    async with open_platform(settings, work=Work.NEVER) as platform:
        for cases, subjects in [*await _shop(platform, arguments), *_public(platform, arguments)]:
            # one question after the other, in every configuration: what is stopped early can be compared all the same
            for case in cases:
                for subject in subjects:
                    found.setdefault(subject.name, []).append(
                        _told(await subject.ask(case), subject.name, log)
                    )
    _print(list(found.items()), arguments)


async def _verify(arguments: argparse.Namespace) -> None:
    """Every pair finds what its gold query finds: the two are written over different tables, so that a slip in one shows."""
    async with open_platform(configuration.load(), work=Work.NEVER) as platform:
        await load_shop(platform)
        asked = await _databases(platform, {SHOP: shop_tables.reader(platform.database.url)}).asked(
            SHOP, SYSTEM
        )
        for case in _shop_cases(arguments.shop):
            checked = sql_rules.check(case.pair or case.gold[0], asked.offer)
            found = await asked.database.run(checked.sql, _CAPS, asked.reach)
            is_right = await _is_right(found.rows, case, asked)
            print(case.id, "same" if is_right else "DIFFERENT", len(found.rows), found.rows[:2])


async def _regrade(arguments: argparse.Namespace) -> None:
    """Grade what a log holds by the rules of today."""
    async with open_platform(configuration.load(), work=Work.NEVER) as platform:
        known = {
            case.id: (case, subject._databases)
            for cases, subjects in [*await _shop(platform, arguments), *_public(platform, arguments)]
            for case in cases
            for subject in subjects[:1]
        }
        lines = [json.loads(line) for line in arguments.regrade.read_text().splitlines()]
        for line in lines:
            case, databases = known[line["id"]]
            asked = await databases.asked(case.database, SYSTEM)
            try:
                result = await asked.database.run(line["note"].partition(" | ")[0], _CAPS, asked.reach)
                line["right"] = await _is_right(result.rows, case, asked)
            except QueryFailedError:
                line["right"] = False
    arguments.regrade.write_text("".join(json.dumps(line) + "\n" for line in lines))


async def _shop(platform: Platform, arguments: argparse.Namespace) -> list[tuple[list[Case], list[_Subject]]]:
    if not arguments.shop:
        return []
    await load_shop(platform)
    everything = list(_shop_cases(arguments.shop))
    cases = everything[arguments.offset :: arguments.shop_every]
    shop = {SHOP: shop_tables.reader(platform.database.url)}
    pairs = [Pair(question=case.question, sql=case.pair or case.gold[0]) for case in everything]
    subjects: list[_Subject] = (
        [] if arguments.skip_naive else [_Naive("shop, naive", platform, shop, {SHOP: shop_tables._TABLES})]
    )
    subjects.append(
        _Pipeline("shop, pipeline", platform, shop, _gateway(platform, everything, arguments), ())
    )
    subjects.append(
        _Pipeline("shop, pipeline + pairs", platform, shop, _gateway(platform, everything, arguments), pairs)
    )
    return [(cases, subjects)]


def _public(platform: Platform, arguments: argparse.Namespace) -> list[tuple[list[Case], list[_Subject]]]:
    if not arguments.public:
        return []
    cases = list(_public_cases(arguments.public))[arguments.offset :: arguments.every]
    files = {case.database: arguments.public / "sqlite" / f"{case.database}.sqlite" for case in cases}
    public = {
        name: AnalystDatabaseSettings(url=SecretStr(f"sqlite://{file.absolute()}"))
        for name, file in files.items()
    }
    raw = {name: _raw_schema(file) for name, file in files.items()}
    subjects: list[_Subject] = (
        [] if arguments.skip_naive else [_Naive("public, naive", platform, public, raw)]
    )
    subjects.append(_Pipeline("public, pipeline", platform, public, _gateway(platform, cases, arguments), ()))
    return [(cases, subjects)]


def _gateway(platform: Platform, cases: Sequence[Case], arguments: argparse.Namespace) -> Any:
    return _Perfect(cases, platform.gateway) if arguments.perfect else platform.gateway


def _shop_cases(file: Path) -> Iterator[Case]:
    for line in file.read_text().splitlines():
        one = json.loads(line)
        yield Case(
            one["id"],
            one["level"],
            SHOP,
            one["question"],
            (one["sql"], *one.get("also", ())),
            one.get("pair", ""),
        )


def _public_cases(folder: Path) -> Iterator[Case]:
    for line in (folder / "questions.jsonl").read_text().splitlines():
        one = json.loads(line)
        question = one["question"] + (f" ({one['instructions']})" if one["instructions"] else "")
        again = [_REWRITTEN[one["id"]]] if one["id"] in _REWRITTEN else []
        golds = (one["gold_sql"], *one["gold_alternatives"], *again)
        yield Case(one["id"], "public", one["db"], " ".join(question.split()), golds)


def _raw_schema(file: Path) -> str:
    with sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL")
        return ";\n".join(row[0] for row in found)


# --- the configurations --------------------------------------------------------------------------------


class _Naive:
    """The whole schema and the question; the reply is run as it is."""

    def __init__(
        self,
        name: str,
        platform: Platform,
        settings: Mapping[str, AnalystDatabaseSettings],
        raw: Mapping[str, str],
    ) -> None:
        self.name = name
        self._platform = platform
        self._databases = _databases(platform, settings)
        self._raw = raw

    async def ask(self, case: Case) -> Outcome:
        asked = await self._databases.asked(case.database, SYSTEM)
        dialect = {"postgres": "PostgreSQL"}.get(asked.schema.dialect, "SQLite")
        text = f"{self._raw[case.database]}\n\nWrite one {dialect} query that answers this question: {case.question}"
        request = ChatRequest(
            model="chat", messages=(Message("user", text),), max_tokens=500, temperature=0.0
        )
        began = time.perf_counter()
        first, note, is_right = 0.0, "", False
        try:
            reply = await self._platform.gateway.complete(request, _CALL)
            first = time.perf_counter() - began
            drafted = draft_sql.read(reply.text)
            note = drafted.sql
            result = await asked.database.run(drafted.sql, _CAPS, asked.reach)
            is_right = await _is_right(result.rows, case, asked)
        except CausewayError as exc:
            note = f"{note} | {exc.message}"
        return Outcome(case, is_right, "run", time.perf_counter() - began, first, 0.0, 1, note)


class _Pipeline:
    """What `POST /api/analyst/ask` does."""

    def __init__(
        self,
        name: str,
        platform: Platform,
        settings: Mapping[str, AnalystDatabaseSettings],
        gateway: Any,
        pairs: Sequence[Pair],
    ) -> None:
        self.name = name
        self._databases = _databases(platform, settings)
        self._pairs = pairs
        self._known = _Pairs(platform.database, gateway)
        wide = {"max_rows": 20_000, "max_result_bytes": 20_000_000, "max_cost": 0}
        self._analyst = Analyst(
            databases=self._databases,
            gateway=gateway,
            notebook=Notebook(platform.database, self._known),
            prompts=Shelf.packaged(),
            spans=Spans(),
            settings=platform.settings.analyst.model_copy(update=wide),
        )

    async def ask(self, case: Case) -> Outcome:
        asked = await self._databases.asked(case.database, SYSTEM)
        self._known.given = [pair for pair in self._pairs if pair.question != case.question]
        if self._pairs:
            await self._known.nearest("warm", self._pairs, 3, _CALL)  # the others' vectors, which are kept
        began = time.perf_counter()
        answer = await self._analyst.ask(Question(text=case.question, database=case.database), _CALL)
        seconds = time.perf_counter() - began
        is_right = answer.result is not None and await _is_right(answer.result.rows, case, asked)
        rest = answer.took_ms - answer.model_ms
        first = answer.model_ms / 1000 / max(1, len(answer.attempts)) + rest / 1000
        state = answer.state if len(answer.attempts) < 2 else f"{answer.state} after {len(answer.attempts)}"
        return Outcome(case, is_right, state, seconds, first, rest, len(answer.attempts), _noted(answer))


_Subject = _Naive | _Pipeline


def _noted(answer: Answer) -> str:
    return " ".join((answer.message or answer.sql).split())


def _databases(platform: Platform, settings: Mapping[str, AnalystDatabaseSettings]) -> AskedDatabases:
    """The databases, with the shop's own pairs left out."""
    databases = AskedDatabases(
        settings, folder=Path(tempfile.gettempdir()) / "analyst-bench", clock=platform.clock
    )
    read = databases._layer

    def without_pairs(name: str, each: AnalystDatabaseSettings) -> Any:
        return read(name, each).model_copy(update={"pairs": []})

    databases._layer = without_pairs  # type: ignore[assignment, method-assign]  # a bench's own
    return databases


def _told(outcome: Outcome, configuration_name: str, log: Any) -> Outcome:
    if log:
        line: dict[str, Any] = {
            "configuration": configuration_name,
            "id": outcome.case.id,
            "level": outcome.case.level,
        }
        line |= {"right": outcome.is_right, "state": outcome.state, "attempts": outcome.attempts}
        line |= {
            "s": round(outcome.seconds, 2),
            "first_s": round(outcome.first_sql_s, 2),
            "rest_ms": round(outcome.rest_ms),
        }
        log.write(json.dumps(line | {"note": outcome.note}) + "\n")
        log.flush()
    return outcome


def _read_log(file: Path) -> list[tuple[str, list[Outcome]]]:
    """What a log holds, by configuration; of a question that was asked twice, the newest."""
    found: dict[str, dict[str, Outcome]] = {}
    for line in file.read_text().splitlines():
        one = json.loads(line)
        case = Case(one["id"], one["level"], "", "", ())
        outcome = Outcome(
            case,
            one["right"],
            one["state"],
            one["s"],
            one["first_s"],
            one["rest_ms"],
            one["attempts"],
            one["note"],
        )
        found.setdefault(one["configuration"], {})[one["id"]] = outcome
    return [(name, list(outcomes.values())) for name, outcomes in found.items()]


# --- grading -----------------------------------------------------------------------------------------


async def _is_right(rows: Sequence[Row], case: Case, asked: Any) -> bool:
    for gold in case.gold:
        try:
            wanted = await asked.database.run(gold, _CAPS, asked.reach)
        except QueryFailedError:
            continue
        if matches(rows, wanted.rows):
            return True
    return False


def matches(rows: Sequence[Row], wanted: Sequence[Row]) -> bool:
    """Whether ``rows`` are the ``wanted`` ones, in any order."""
    if len(rows) != len(wanted):
        return False
    if not wanted:
        return True
    width, extra = len(wanted[0]), len(rows[0]) - len(wanted[0])
    if extra < 0 or extra > _MOST_FURTHER_COLUMNS:
        return False
    given = [[_form(value) for value in row] for row in rows]
    gold = [tuple(_form(value) for value in row) for row in wanted]
    columns = [Counter(row[place] for row in given) for place in range(len(rows[0]))]
    fits = [
        [place for place, counted in enumerate(columns) if counted == Counter(row[target] for row in gold)]
        for target in range(width)
    ]
    for order in product(*fits):
        if len(set(order)) < width:
            continue
        chosen = [tuple(row[place] for place in order) for row in given]
        if Counter(chosen) == Counter(gold):
            return True
    return False


def _form(value: object) -> str:
    if isinstance(value, bool):
        return str(float(value))
    if isinstance(value, int | float):
        number = float(value)
        return f"{number:.0f}" if number == round(number) else f"{number:.5g}"
    text = str(value).strip()
    return text[:10] if text.endswith(("00:00:00", "00:00:00+00:00")) and len(text) > 10 else text


# --- the page ----------------------------------------------------------------------------------------


def _print(rows: Sequence[tuple[str, list[Outcome]]], arguments: argparse.Namespace) -> None:
    print("# The analyst's answers\n")
    print(describe())
    model = (
        "a scripted model that writes the gold query"
        if arguments.perfect
        else "qwen2.5-coder-1.5b-instruct, greedy"
    )
    print(f"\nMade by `bench/analyst.py` with {model}.\n")
    print(
        "| configuration | right | easy | medium | hard | median s to first SQL | median s | median ms without the model | p95 ms | repaired |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, outcomes in rows:
        print(f"| {name} | {_share(outcomes)} | {' | '.join(_share([o for o in outcomes if o.case.level == level]) for level in ('easy', 'medium', 'hard'))} "
              f"| {statistics.median(o.first_sql_s for o in outcomes):.1f} | {statistics.median(o.seconds for o in outcomes):.1f} "
              f"| {statistics.median(o.rest_ms for o in outcomes):.0f} | {_p95([o.rest_ms for o in outcomes]):.0f} | {sum(o.attempts > 1 for o in outcomes)} |")  # fmt: skip
    print()


def _share(outcomes: Sequence[Outcome]) -> str:
    right = sum(outcome.is_right for outcome in outcomes)
    return f"{right} of {len(outcomes)} ({right / len(outcomes):.0%})" if outcomes else ""


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


if __name__ == "__main__":
    main()
