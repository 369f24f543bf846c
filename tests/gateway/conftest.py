from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import UpstreamError
from causeway.gateway.admission import Admission
from causeway.gateway.auto_route import AutoRoute
from causeway.gateway.breaker import Breakers
from causeway.gateway.call_record import Books
from causeway.gateway.failover import Failover
from causeway.gateway.gateway import Gateway, Steps
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.gateway.reply_cache import ReplyCache
from causeway.gateway.routing import Route, Routes
from causeway.gateway.screening import Screening
from causeway.gateway.tiers import Tiers
from causeway.models.scripted import Line, Scripted
from causeway.observability.spans import Spans
from causeway.observability.trace_store import SpanWriter
from causeway.settings import PriceSettings, Settings
from causeway.storage.database import Database
from causeway.storage.process_state import ProcessState


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


def steps_over(routes: Routes, ledger: Ledger, *, settings: Settings | None = None) -> Steps:
    """Every step, as the settings have them, over routes of the test's own."""
    settings = settings or Settings()
    clock, random = SystemClock(), Random(7)
    tiers = Tiers(settings.tiers)
    return Steps(
        settings=settings.gateway,
        tiers=tiers,
        routes=routes,
        embedder="words",
        auto=AutoRoute.packaged(),
        screening=Screening(settings.guard),
        admission=Admission(state=ProcessState(clock=clock), tiers=tiers, spent=ledger.spent, clock=clock),
        cache=ReplyCache(clock=clock, ttl_s=3600, most_bytes=1_000_000),
        failover=Failover(
            settings.gateway,
            breakers=Breakers(failures=5, rest_s=20, clock=clock),
            clock=clock,
            random=random,
            sleep=_at_once,
        ),
    )


async def _at_once(_seconds: float) -> None:
    """Waits for nothing."""


@pytest.fixture
def routes(scripted: Scripted) -> Routes:
    price = PriceSettings.model_validate({"input": "2.50", "output": "10"})
    words = Route(model="words", provider=scripted, price=price)
    return Routes(
        chat={"test/words": words},
        embed={"test/words": Route(model="words", provider=scripted)},
        rerank={"test/words": Route(model="words", provider=scripted)},
        aliases={"chat": "test/words", "fast": "test/words", "embed": "test/words", "rerank": "test/words"},
    )


@pytest.fixture
def gateway(routes: Routes, ledger: Ledger, spans: Spans) -> Gateway:
    books = Books(ledger=ledger, spans=spans, clock=SystemClock(), captures=lambda *_: True)
    return Gateway(steps_over(routes, ledger), books)


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
