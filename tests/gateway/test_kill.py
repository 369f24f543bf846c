"""Gateways are killed for real in the middle of their calls; the ledger loses none and budgets stay right."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from causeway.contracts.money import Micros
from causeway.gateway.ledger import open_ledger
from causeway.settings import child_environment
from causeway.storage.database import Database
from causeway.storage.schema import ledger
from tests.gateway.calls import BEGAN, an_entry, an_opening

ROOT = Path(__file__).parents[2]
ENDED, UNDER_WAY = an_entry("any").cost_micros, an_opening("any").cost


def killed_after(words: int, url: str, folder: Path) -> tuple[set[str], set[str]]:
    """Start, and kill with SIGKILL after so many words; the calls that were opened, and those that were closed."""
    command = [sys.executable, "-m", "tests.gateway.kill_target", url, str(folder)]
    environment = child_environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stderr
        try:
            told = [process.stdout.readline() for _ in range(words)]
            assert told[-1], process.stderr.read()
        finally:
            process.kill()
        told += [line for line in process.stdout if line.endswith("\n")]
    ids = {kind: {line.split()[1] for line in told if line.startswith(kind)} for kind in ("o", "c")}
    return ids["o"], ids["c"]


@pytest.mark.parametrize("words", [1, 300, 4_000, 30_000])
async def test_a_killed_gateway_loses_no_call(
    words: int, database: Database, database_url: str, tmp_path: Path
) -> None:
    opened, closed = killed_after(words, database_url, tmp_path)
    settled: Counter[str] = Counter()

    async def settle(call: str, cost: Micros, tokens: int) -> None:
        settled[call] += 1

    async with open_ledger(database, tmp_path, flush_s=3600, settle=settle) as heir:
        async with database.connect() as connection:
            rows = (await connection.execute(select(ledger.c.id, ledger.c.outcome))).all()
        outcomes = {row.id: row.outcome for row in rows}
        # what was written down may not have been told: at most the one call it was killed in
        assert opened <= outcomes.keys()
        assert len(outcomes.keys() - opened) <= 1
        ended = {call for call, outcome in outcomes.items() if outcome == "ok"}
        assert closed <= ended
        assert len(ended - closed) <= 1
        interrupted = {call for call, outcome in outcomes.items() if outcome == "interrupted"}
        assert interrupted == outcomes.keys() - ended
        # shared budgets hear of every call that broke off, and of no call twice
        assert interrupted <= settled.keys()
        assert set(settled.values()) == {1}
        spent = await heir.spent("key", "key_1", BEGAN - timedelta(days=1))
        assert spent == len(ended) * ENDED + len(interrupted) * UNDER_WAY
    assert [file.name for file in _left(tmp_path)] == []


def _left(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
