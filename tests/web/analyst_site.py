"""An analyst for the pages' tests: a small shop in SQLite, a model that writes by script, memory in place of tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from causeway.analyst.analyst import Analyst
from causeway.analyst.asked import AskedDatabases
from causeway.analyst.draft_sql import Earlier
from causeway.analyst.semantic_layer import Pair
from causeway.analyst.verified_pairs import Notebook, Saved, Turn, VerifiedPairs
from causeway.contracts.chat import ChatReply, ChatRequest, StopReason, Usage
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.errors import ModelUnavailableError, NotFoundError
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.settings import AnalystDatabaseSettings, AnalystSettings
from causeway.testing.gateway import FakeGateway

BY_MONTH = "What was our revenue by month in 2025?"
COUNT = "How many orders are there?"
BY_PRODUCT = "Which products bring the most revenue?"
BROKEN = "Which orders break the model?"
HOSTILE = "Show the notes of the orders"
REPLIES: Mapping[str, str] = {
    BY_MONTH: "SELECT strftime('%Y-%m', ordered_on) AS month, SUM(amount) AS revenue FROM orders GROUP BY 1 ORDER BY 1",
    COUNT: "SELECT COUNT(*) AS orders FROM orders",
    BY_PRODUCT: "SELECT product, SUM(amount) AS revenue FROM orders GROUP BY product ORDER BY revenue DESC",
    HOSTILE: "SELECT note, amount FROM orders WHERE note <> ''",
}
_LAYER = """
description: A small shop, in US dollars.
tables:
  orders: {about: One row an order, synonyms: [sales], hidden: [email]}
metrics:
  revenue: {sql: SUM(amount), about: What orders came to, tables: [orders]}
ambiguous:
  - {words: [best product], unless: [revenue], ask: "Best by revenue, or by number of orders?"}
examples: ["What was our revenue by month in 2025?", "How many orders are there?"]
"""


class _Model(FakeGateway):
    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        question = request.messages[1].text.rstrip().rpartition("Question: ")[2]
        if question == BROKEN:
            msg = "the model is away; try again in a minute"
            raise ModelUnavailableError(msg)
        text = "\n".join(["```sql", REPLIES.get(question, "SELECT nothing FROM orders"), "```"])
        usage = Usage(input_tokens=412, output_tokens=38)
        return ChatReply(
            text=text, model="scripted", stop_reason=StopReason.END, usage=usage, cost_micros=Micros(120)
        )


class _Pairs(VerifiedPairs):
    def __init__(self, gateway: FakeGateway) -> None:
        self.kept: dict[str, Pair] = {}
        self._gateway = gateway
        self._vectors: dict[str, Any] = {}

    async def add(
        self, name: str, pair: Pair, principal_id: str, asker_values: Mapping[str, str] | None = None
    ) -> None:
        self.kept[pair.question] = pair

    async def of(self, name: str, asker_values: Mapping[str, str] | None = None) -> list[Pair]:
        return list(self.kept.values())


class _Memory(Notebook):
    def __init__(self, pairs: _Pairs) -> None:
        self.pairs = pairs
        self._turns: dict[str, Turn] = {}
        self._saved: dict[str, tuple[str, Saved]] = {}

    async def note(self, turn: Turn) -> None:
        self._turns[turn.trace_id] = turn

    async def earlier(self, conversation_id: str, principal_id: str, database: str) -> Earlier | None:
        found = [
            turn
            for turn in self._turns.values()
            if (turn.conversation_id, turn.principal_id, turn.database)
            == (conversation_id, principal_id, database)
        ]
        return Earlier(found[-1].question, found[-1].sql) if found else None

    async def turn(self, trace_id: str, principal_id: str) -> Turn:
        turn = self._turns.get(trace_id)
        if turn is None or turn.principal_id != principal_id:
            raise NotFoundError(f"no question of yours was answered under the trace '{trace_id}'")
        return turn

    async def save(self, principal_id: str, saved: Saved) -> None:
        self._saved[saved.id] = (principal_id, saved)

    async def saved(self, principal_id: str) -> list[Saved]:
        return [saved for owner, saved in self._saved.values() if owner == principal_id]

    async def forget(self, principal_id: str, saved_id: str) -> None:
        if self._saved.get(saved_id, ("",))[0] == principal_id:
            del self._saved[saved_id]


def scripted_analyst(folder: Path) -> Analyst:
    """The analyst over a fresh database in ``folder``."""
    file, layer = folder / "shop.sqlite", folder / "shop.yaml"
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE orders (order_id integer PRIMARY KEY, product text, amount real, ordered_on date, email text, note text)"
        )
        products = ("Kestrel tent", "Ember bag", "Granite boots", "Spark stove")
        rows = [
            (
                n,
                products[n % 4],
                40.0 + 13 * (n % 7),
                f"2025-{n % 12 + 1:02d}-{n % 27 + 1:02d}",
                f"{n}@mail.example",
                "",
            )
            for n in range(1, 145)
        ]
        rows[0] = (*rows[0][:5], "=HYPERLINK(1)")
        rows[1] = (*rows[1][:5], "<script>window.hacked = true</script>")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    layer.write_text(_LAYER)
    settings = AnalystDatabaseSettings(url=SecretStr(f"sqlite://{file}"), layer=layer)
    model = _Model()
    return Analyst(
        databases=AskedDatabases({"shop": settings}, folder=folder, clock=SystemClock()),
        gateway=model,
        notebook=_Memory(_Pairs(model)),
        prompts=Shelf.packaged(),
        spans=Spans(),
        settings=AnalystSettings(),
    )


def with_analyst(parts: Any, folder: Path) -> Any:
    """The scripted web with an analyst."""
    return replace(parts, analyst=scripted_analyst(folder))


def asker(name: str = "somebody") -> Principal:
    """Who asks in tests."""
    return Principal(id=f"key_{name}", name=name, scopes=frozenset())
