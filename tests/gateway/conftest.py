from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import UpstreamError
from causeway.gateway.gateway import Gateway
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.gateway.routing import Route, Routes
from causeway.models.scripted import Line, Scripted
from causeway.observability.spans import Spans
from causeway.observability.trace_store import SpanWriter
from causeway.settings import PriceSettings
from causeway.storage.database import Database


@pytest.fixture
def call() -> Call:
    return Call(
        principal=Principal("key_1", "tests", frozenset({Scope.MODELS})), purpose="api", prompt="answer@3"
    )


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(
        [
            Line(when="capital", say="Paris is the capital."),
            Line(when="boom", say="half an ans", fail=UpstreamError("cut")),
        ]
    )


@pytest.fixture
def spans(database: Database) -> Iterator[Spans]:
    recorder = Spans(SpanWriter(database.url))
    yield recorder
    recorder.close()


@pytest.fixture
async def ledger(database: Database, tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger that the database hears of when the test flushes it."""
    async with open_ledger(database, tmp_path / "journal", flush_s=3600) as opened:
        yield opened


@pytest.fixture
def gateway(ledger: Ledger, scripted: Scripted, spans: Spans) -> Gateway:
    price = PriceSettings.model_validate({"input": "2.50", "output": "10"})
    route = Route(model="words", provider=scripted, price=price)
    routes = Routes(
        chat={"test/words": route},
        embed={"test/words": Route(model="words", provider=scripted)},
        rerank={"test/words": Route(model="words", provider=scripted)},
        aliases={"chat": "test/words", "embed": "test/words", "rerank": "test/words"},
    )
    return Gateway(routes=routes, ledger=ledger, spans=spans, clock=SystemClock(), capture_content=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk]).returncode
    ):
        pytest.skip("needs root, to make a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)
