"""What other programs send, from the door to the page in a real browser: late, twice, in part, huge, and full of scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from causeway.observability.otlp_import import TraceImport
from causeway.observability.spans import Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import DatabaseSettings, TelemetrySettings
from causeway.storage.database import open_database
from causeway.web.parts import TelemetryParts, WebParts
from tests.web.conftest import DESK, PHONE, visiting
from tests.web.scripted import ADMIN_KEY, scripted
from tests.web.serving import serving
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

WHOLE, HALF = "ab" * 16, "cd" * 16
HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=1> ![p](https://evil.example/p.png) "
    "[here](javascript:window.hacked=1) <svg onload=window.hacked=1> <style>*{display:none}</style> {{ 7*7 }}"
)
START = 1_790_000_000_000_000_000
MEGABYTE = "long words " * 95_326


@dataclass(frozen=True, slots=True)
class Site:
    """What is served."""

    parts: WebParts


@pytest.fixture
def address(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The site, over a database, with everything sent in."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Site]:
        database = await open_database(DatabaseSettings(url=SecretStr(database_url)), tmp_path)
        policy = TracePolicy(TelemetrySettings())
        imports = TraceImport(SpanWriter(database.url, policy), policy)
        telemetry = TelemetryParts(
            imports=imports, metrics=_no_metrics, import_max_bytes=8 << 20, is_open=False
        )
        traces = TraceStore(database, Spans())
        try:
            yield Site(replace(scripted(tmp_path).parts, traces=traces, telemetry=telemetry))
        finally:
            await asyncio.to_thread(imports.close)
            await database.close()

    with serving(opened) as (found, _):
        late = span("b", "a", at_ms=20, model=HOSTILE, answer=HOSTILE)
        skewed = span("c", "a", at_ms=-3_600_000)
        huge = span("d", "b", at_ms=30, took_ms=50, **{"input.value": MEGABYTE})
        root = span("a", at_ms=0, took_ms=900, **{"input.value": HOSTILE, "output.value": HOSTILE})
        for batch in ([huge], [skewed, late], [late], [root, root], [root, huge]):
            assert send(found, *batch) == {}
        assert send(found, span("e", "f", trace=HALF, model="words", answer="Half of it.")) == {}
        yield found


async def _no_metrics() -> str:
    return ""


def span(
    name: str,
    parent: str = "",
    *,
    at_ms: int = 0,
    took_ms: int = 100,
    trace: str = WHOLE,
    model: str = "",
    answer: str = "",
    **attributes: str,
) -> dict[str, Any]:
    begin = START + at_ms * 1_000_000
    if model:
        said = {"role": "assistant", "parts": [{"type": "text", "content": answer}]}
        attributes |= {
            "gen_ai.operation.name": "chat",
            "gen_ai.response.model": model,
            "gen_ai.output.messages": json.dumps([said]),
        }
    return {
        "traceId": trace,
        "spanId": name * 16,
        "parentSpanId": parent * 16,
        "name": f"{name} {HOSTILE}" if name == "c" else name,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + took_ms * 1_000_000),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }


def send(address: str, *spans: dict[str, Any]) -> Any:
    """Send a request of spans; the answer."""
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    answer = httpx.post(f"{address}/otlp/v1/traces", json=body, headers=headers, timeout=60)
    return answer.raise_for_status().json()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_what_came_late_twice_and_huge_is_one_whole_trace_that_runs_nothing(
    address: str, browser: Browser, size: dict[str, int]
) -> None:
    scheme = "dark" if size is PHONE else "light"
    with visiting(browser, address, viewport=size, color_scheme=scheme) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/traces")
        expect(page.get_by_role("link", name="<script>window.hacked=1</script>")).to_be_visible()
        _is_harmless(page)

        page.goto(f"/traces/{WHOLE}")
        steps = page.locator(".step")
        expect(steps).to_have_count(4)  # what came twice stands once
        expect(steps.first.locator(".step-label")).to_have_text("a")  # the root, which came last
        expect(page.get_by_text("Half a trace")).to_have_count(0)
        for step in steps.all():
            step.locator("summary").click()
        expect(page.locator(".step-odd")).to_have_count(1)
        expect(steps.filter(has_text="clock").first).to_contain_text("two clocks differ")
        expect(page.get_by_text("was too long to keep whole: it had 1,048,586 characters")).to_be_visible()
        expect(page.locator("main")).to_contain_text("{{ 7*7 }}")
        _is_harmless(page)

        page.goto(f"/traces/{HALF}")
        expect(page.get_by_text("Half a trace")).to_be_visible()
        page.locator(".step summary").click()
        expect(page.get_by_text("Half of it.")).to_be_visible()
        _is_harmless(page)
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def _is_harmless(page: Page) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.locator("main :is(script, img, style, [onerror], [onload], [href^=javascript])").count() == 0
    assert violations(page) == []
    assert overflow(page) <= 0
