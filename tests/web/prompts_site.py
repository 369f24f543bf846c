"""The pages of prompts over a real registry and a model that writes by script.

``python -m tests.web.prompts_site [PORT]`` serves them with versions, a rollout, calls and thumbs to whoever works on them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import insert

from causeway.contracts.chat import ChatChunk, ChatRequest, StopReason, Usage
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.errors import ModelUnavailableError
from causeway.gateway import audit
from causeway.observability import genai_names as names
from causeway.prompts.prompt import with_version
from causeway.prompts.registry import Registry
from causeway.prompts.shelf import Shelf, packaged_texts
from causeway.prompts.usage import PromptUsage
from causeway.storage.notices import Notices
from causeway.storage.schema import spans, votes
from causeway.storage.telemetry_schema import trace_summaries
from causeway.testing.gateway import FakeGateway
from causeway.web.parts import PromptParts, WebParts
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, admin_site
from tests.web.serving import serve_until_stopped, serving

MODELS = ("chat", "fast", "openai/gpt-6-sol")
ADA = Principal(id="command_line", name="Ada", scopes=frozenset({Scope.ADMIN}))


class PlayGateway(FakeGateway):
    """Answers with what it was asked by which prompt; the model ``openai/gpt-6-sol`` is dear, ``fast`` is away."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """A few words, one by one."""
        self.requests.append(request)
        self.calls.append(call)
        if request.model == "fast":
            msg = "the model 'fast' is not on this machine; run 'causeway models pull'"
            raise ModelUnavailableError(msg)
        text = f"{request.model} by {call.prompt}: thirty days from delivery [1]. <script>alert(1)</script>"
        for word in text.split(" "):
            yield ChatChunk(text=f"{word} ", model=request.model)
        dear = request.model.startswith("openai/")
        yield ChatChunk(
            stop_reason=StopReason.END,
            usage=Usage(input_tokens=180, output_tokens=21),
            model=request.model,
            cost_micros=Micros(1_240 if dear else 0),
            trace_id="ab" * 16,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsSite:
    """Everything a test may want to touch."""

    parts: WebParts
    admin: AdminSite
    registry: Registry
    gateway: PlayGateway


@asynccontextmanager
async def prompts_site(database_url: str, folder: Path) -> AsyncIterator[PromptsSite]:
    """The site over a database at the newest revision."""
    async with admin_site(database_url, folder, environment={}) as site:
        notices = Notices(site.database)
        registry = Registry(site.database, Shelf.packaged(), notices=notices, record=audit.record)
        gateway = PlayGateway()
        async with notices.listening(), registry.running():
            prompts = PromptParts(
                registry=registry,
                usage=PromptUsage(site.database, site.ledger.flush),
                gateway=gateway,
                models=lambda: MODELS,
            )
            parts = replace(site.parts, prompts=prompts)
            yield PromptsSite(parts=parts, admin=site, registry=registry, gateway=gateway)


FIRST = Shelf.packaged().get("answer").version
"""Number of the packaged ``answer``."""


def shorter(version: int = FIRST) -> str:
    """The packaged ``answer`` with other rules."""
    text = packaged_texts()["answer"].replace(
        "Rules:", "Rules, which hold at the till too:\n- Answer in one short sentence."
    )
    return with_version(text, version)


async def furnish(site: PromptsSite) -> None:
    """Versions, a rollout, a month of calls, thumbs and traces."""
    registry, now, random = site.registry, site.parts.clock.now(), Random(7)
    await registry.publish(
        shorter(), by=ADA, why="one sentence is enough at the till", origin="file", label="candidate"
    )
    await registry.roll_out("answer", FIRST + 1, 20, by=ADA, why="20 % of the shops for a week")
    kinder = shorter(FIRST + 1).replace("You answer questions", "You kindly answer questions")
    await registry.publish(kinder, by=ADA, why="kinder, as support asked", origin="page")
    rows, thumbs, summaries = [], [], []
    for number in range(420):
        version = FIRST + (number % 5 == 0)
        trace = f"{number:032x}"
        at = now - timedelta(hours=number * 1.6)
        entry = an_entry(
            f"call_{number}", at=at, prompt=f"answer@{version}", trace_id=trace, purpose="answer", outcome="ok",
            latency_ms=900 + number * 7 % 1800, cost=Micros(800 + number), usage=Usage(900, 60),
        )  # fmt: skip
        site.admin.ledger.closed(entry)
        is_refused = random.random() < 0.12
        rows.append(_ask(trace, at, is_refused=is_refused))
        summaries.append(
            {
                **{
                    name: rows[-1][name]
                    for name in ("trace_id", "started_at", "duration_ms", "name", "status")
                },
                **dict.fromkeys(("attempts", "span_count"), 1),
                "project": "default",
                "service": "causeway",
                "is_told": True,
                "refused": is_refused,
                "input_tokens": 900,
                "output_tokens": 60,
                "cost_micros": 800 + number,
                "prompt": f"answer@{version}",
                "question": f"How long may I return tent {number}?",
            }
        )
        if random.random() < 0.3:
            is_up = random.random() < (0.86 if version > FIRST else 0.74)
            thumbs.append({"trace_id": trace, "principal_id": "key_a", "is_up": is_up})
    async with site.admin.database.begin() as connection:
        await connection.execute(insert(spans), rows)
        await connection.execute(insert(votes), thumbs)
        await connection.execute(insert(trace_summaries), summaries)
    await site.admin.ledger.flush()


def _ask(trace_id: str, at: Any, *, is_refused: bool) -> dict[str, Any]:
    values = {
        "question": f"How long may I return tent {trace_id[-3:]}?",
        "passages": [{"n": 1, "heading": "Returns", "written": "", "text": "30 days from delivery."}],
        "check": "",
    }
    attributes = {names.REFUSED: is_refused, names.PROMPT_VALUES: {"answer": values}}
    return {
        "span_id": trace_id[-16:], "trace_id": trace_id, "name": "ask", "kind": "server", "started_at": at,
        "duration_ms": 900, "status": "ok", "attributes": attributes, "events": [],
    }  # fmt: skip


@contextmanager
def serving_prompts(
    database_url: str, folder: Path, *, port: int = 0, is_furnished: bool = True
) -> Iterator[tuple[str, PromptsSite]]:
    """Serve the site from a thread with a loop of its own; its address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[PromptsSite]:
        async with prompts_site(database_url, folder) as site:
            if is_furnished:
                await furnish(site)
            yield site

    with serving(opened, port=port, within_s=120) as served:
        yield served


def main() -> None:
    """Serve until stopped."""
    serve_until_stopped(
        lambda url, folder, port: serving_prompts(url, folder, port=port),
        port=8097,
        key=lambda site: site.admin.admin_key,
    )


if __name__ == "__main__":
    main()
