from __future__ import annotations

from collections.abc import Iterator

import pytest

from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import UpstreamError
from causeway.gateway.gateway import Gateway
from causeway.gateway.ledger import Ledger
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
def gateway(database: Database, scripted: Scripted, spans: Spans) -> Gateway:
    price = PriceSettings.model_validate({"input": "2.50", "output": "10"})
    route = Route(model="words", provider=scripted, price=price)
    routes = Routes(
        chat={"test/words": route},
        embed={"test/words": Route(model="words", provider=scripted)},
        rerank={"test/words": Route(model="words", provider=scripted)},
        aliases={"chat": "test/words", "embed": "test/words", "rerank": "test/words"},
    )
    return Gateway(
        routes=routes, ledger=Ledger(database), spans=spans, clock=SystemClock(), capture_content=True
    )
