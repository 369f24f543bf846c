"""The bot as Slack and its people use it: signed requests in, messages out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import func, select, update

from causeway.contracts.identity import EVERYONE, Principal, Scope, viewer_names
from causeway.errors import NotFoundError
from causeway.knowledge import Answerer, Conversations, ConversingAnswerer, Search
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.slack_calls import open_slack_calls
from causeway.knowledge.slack_bot import SlackBot
from causeway.knowledge.slack_rows import SlackQuestions
from causeway.observability.feedback import Feedback
from causeway.observability.spans import Spans
from causeway.observability.trace_store import SpanWriter
from causeway.prompts.shelf import Shelf
from causeway.settings import KnowledgeSettings, ModelSettings, SlackSettings
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.product_schema import turns
from causeway.storage.schema import documents, votes
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway
from causeway.web.app import build_app
from tests.knowledge.ingest.vendor_server import served
from tests.web.scripted import scripted
from tests.web.slack_workspace import (
    SECRET,
    TOKEN,
    SlackWorkspace,
    direct,
    mention,
    person,
    pressed,
    shown,
    signed,
)

QUESTION = "Within how many days may tents be returned?"
REPLY = "Tents may be returned within 45 days of delivery [1]."
ADDRESS = "https://causeway.example.com"


@dataclass
class Site:
    """A Causeway that is a Slack app, and the Slack that it is one of."""

    slack: SlackWorkspace
    bot: SlackBot
    gateway: FakeGateway
    database: Database
    client: httpx2.AsyncClient
    clock: FrozenClock

    async def tell(self, told: Mapping[str, Any], *, answers: bool = True) -> int:
        """Send an event as Slack does, and have what it queues done; the status."""
        body = json.dumps(told).encode()
        answer = await self.client.post(
            "/slack/events", content=body, headers=signed(body, self.clock.now().timestamp())
        )
        if answers and "event_id" in told:
            await self.bot.answer(told["event_id"])
        return answer.status_code

    async def press(self, body: bytes) -> httpx2.Response:
        return await self.client.post(
            "/slack/actions", content=body, headers=signed(body, self.clock.now().timestamp())
        )

    def message(self, channel: str) -> dict[str, Any]:
        (found,) = [body for (place, _), body in self.slack.messages.items() if place == channel]
        return found

    def place(self, channel: str) -> str:
        (ts,) = [ts for (place, ts) in self.slack.messages if place == channel]
        return ts

    async def votes(self) -> list[tuple[str, bool, str | None, str | None]]:
        async with self.database.connect() as connection:
            wanted = select(votes.c.principal_id, votes.c.is_up, votes.c.reason, votes.c.correction)
            return [tuple(row) for row in await connection.execute(wanted)]

    async def hide(self, document_id: str, *names: str) -> None:
        async with self.database.begin() as connection:
            changed = update(documents).where(documents.c.id == document_id)
            await connection.execute(changed.values(own_readers=list(names)))


def _people() -> dict[str, Principal]:
    return {
        f"{name}@example.com": Principal(
            id=f"usr_{name}",
            name=name,
            scopes=frozenset({Scope.ASK}),
            tier="pro",
            user=f"usr_{name}",
            sees_as=viewer_names(f"usr_{name}", ()),
        )
        for name in ("ann", "ben")
    }


@pytest.fixture
def accounts() -> dict[str, Principal]:
    return _people()


@pytest.fixture
def workspace() -> SlackWorkspace:
    made = SlackWorkspace()
    made.people = {
        "UANN": person("Ann@Example.com"),
        "UBEN": person("ben@example.com"),
        "UEVE": person("eve@example.com"),
    }
    return made


@pytest.fixture
async def site(
    workspace: SlackWorkspace,
    accounts: dict[str, Principal],
    database: Database,
    clock: FrozenClock,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    async def who_is(address: str) -> Principal:
        if address not in accounts:
            raise NotFoundError(f"there is no account '{address}'")
        return accounts[address]

    spans = Spans(SpanWriter(database.url))
    durable = Durable(database.url, executor_id="exe_slack")
    gateway = FakeGateway(replies=(REPLY,))
    index = PostgresIndex(database)
    await index.prepare()
    await SheetPile(database, index).add(
        Sheet(
            id="doc_returns",
            title="Returns <policy>",
            texts=("Tents may be returned within 45 days of delivery.",),
        )
    )
    await _open_to_all(database)
    knowledge = KnowledgeSettings(check="off")
    search = Search(index, gateway, knowledge, models=ModelSettings(), spans=spans, clock=clock)
    answerer = Answerer(
        search=search,
        gateway=gateway,
        prompts=Shelf.packaged(),
        spans=spans,
        clock=clock,
        settings=lambda: knowledge,
    )
    async with (
        served(workspace.answer) as address,
        open_slack_calls(
            base_url=address,
            token=SecretStr(TOKEN),
            section="slack",
            clock=clock,
            every_s=0.0,
            timeout_s=5.0,
        ) as calls,
    ):
        bot = SlackBot(
            SlackSettings(signing_secret=SecretStr(SECRET), token=SecretStr(TOKEN), address=f"{ADDRESS}/"),
            calls=calls,
            questions=SlackQuestions(database, durable),
            answerer=ConversingAnswerer(answerer, Conversations(database)),
            who_is=who_is,
            votes=Feedback(database, spans),
            clock=clock,
        )
        parts = replace(scripted(tmp_path, clock=clock).parts, slack=bot)
        transport = httpx2.ASGITransport(app=build_app(parts))
        async with httpx2.AsyncClient(transport=transport, base_url="http://causeway.test") as client:
            yield Site(workspace, bot, gateway, database, client, clock)
    await durable.close()
    spans.close()


async def _open_to_all(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(update(documents).values(own_readers=[EVERYONE]))


# --- the door ------------------------------------------------------------------------------------------


async def test_slack_is_told_that_the_address_is_right(site: Site) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    headers = signed(body, site.clock.now().timestamp())
    answer = await site.client.post("/slack/events", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1a"})


@pytest.mark.parametrize(
    ("secret", "age_s"), [("another", 0.0), (SECRET, 301.0), (SECRET, -301.0)], ids=["wrong", "old", "future"]
)
@pytest.mark.parametrize("path", ["/slack/events", "/slack/actions"])
async def test_what_slack_has_not_signed_now_is_refused(
    site: Site, path: str, secret: str, age_s: float
) -> None:
    body = json.dumps(mention(QUESTION)).encode()
    headers = signed(body, site.clock.now().timestamp() - age_s, secret=secret)
    assert (await site.client.post(path, content=body, headers=headers)).status_code == 401
    assert (await site.client.post(path, content=body)).status_code == 401
    changed = signed(body, site.clock.now().timestamp())
    assert (await site.client.post(path, content=body + b" ", headers=changed)).status_code == 401
    assert site.slack.calls == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"payload=%5B%5D"])
async def test_what_is_no_event_is_refused(site: Site, body: bytes) -> None:
    headers = signed(body, site.clock.now().timestamp())
    for path in ("/slack/events", "/slack/actions"):
        assert (await site.client.post(path, content=body, headers=headers)).status_code == 400


async def test_without_settings_there_is_no_door(tmp_path: Path) -> None:
    transport = httpx2.ASGITransport(app=build_app(scripted(tmp_path).parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://causeway.test") as client:
        assert (await client.post("/slack/events", json=mention(QUESTION))).status_code == 404


# --- answers -------------------------------------------------------------------------------------------


async def test_a_mention_is_answered_in_its_thread_with_citations_and_thumbs(site: Site) -> None:
    told = mention(QUESTION)
    assert await site.tell(told) == 200
    said = site.message("C1")
    assert said["thread_ts"] == told["event"]["ts"]
    link = f"{ADDRESS}/documents/doc_returns?revision=1#chunk-0"
    assert f"Tents may be returned within 45 days of delivery <{link}|[1]>." in shown(said)
    assert f"[1] <{link}|Returns &lt;policy&gt;>" in shown(said)
    assert [each["action_id"] for each in said["blocks"][-1]["elements"]] == ["causeway_up", "causeway_down"]
    assert (said["parse"], said["unfurl_links"], said["unfurl_media"]) == ("none", False, False)


async def test_a_direct_message_is_answered_and_a_thread_goes_on(site: Site) -> None:
    first = direct(QUESTION)
    await site.tell(first)
    assert site.message("DUANN")["thread_ts"] == first["event"]["ts"]
    await site.tell(direct("And stoves?", event_id="Ev2", thread_ts=first["event"]["ts"]))
    async with site.database.connect() as connection:
        ids = (await connection.scalars(select(turns.c.conversation_id).distinct())).all()
    assert len(ids) == 1
    assert any(QUESTION in str(request) and "stoves" in str(request) for request in site.gateway.requests)


async def test_an_event_that_is_delivered_again_is_answered_once(site: Site) -> None:
    for _ in range(3):
        assert await site.tell(mention(QUESTION)) == 200
    again = mention(QUESTION, event_id="Ev9")  # another event about the same message
    again["event"]["ts"] = mention(QUESTION)["event"]["ts"]
    assert await site.tell(again) == 200
    assert site.slack.calls.count("chat.postMessage") == 1


@pytest.mark.parametrize(
    "told",
    [
        mention(QUESTION, bot_id="B1"),
        direct(QUESTION, subtype="message_changed"),
        direct(QUESTION, hidden=True),
        {**direct(QUESTION), "type": "something"},
        mention(QUESTION, type="message"),
        mention(QUESTION, type="reaction_added"),
        mention(QUESTION, user=""),
    ],
)
async def test_what_is_no_question_is_left_alone(site: Site, told: dict[str, Any]) -> None:
    assert await site.tell(told) == 200
    assert site.slack.calls == []


async def test_an_empty_mention_is_told_how_to_ask(site: Site) -> None:
    await site.tell(mention("  "))
    assert "Ask me a question" in shown(site.message("C1"))


async def test_the_message_is_written_on_about_once_a_second(site: Site) -> None:
    site.gateway._replies = [f"{REPLY} " + "Tents may be returned within 45 days of delivery [1]. " * 30]
    await site.tell(mention(QUESTION))
    still = site.slack.versions["C1", site.place("C1")]
    assert len(still) == 2, "the clock stands still: only the first and the last are written"


async def test_too_many_calls_wait_as_long_as_slack_asks(site: Site) -> None:
    site.slack.stumbles["chat.update"] = [web.Response(status=429, headers={"Retry-After": "0"})]
    site.slack.stumbles["chat.postMessage"] = [web.Response(status=429, headers={"Retry-After": "0"})]
    await site.tell(mention(QUESTION))
    assert REPLY.partition(" [")[0] in shown(site.message("C1"))
    assert site.slack.calls.count("chat.postMessage") == 2


async def test_a_post_whose_outcome_is_unknown_is_not_repeated(site: Site) -> None:
    site.slack.stumbles["chat.postMessage"] = [web.Response(status=500)]
    with pytest.raises(Exception, match="500"):
        await site.tell(mention(QUESTION))
    assert site.slack.calls.count("chat.postMessage") == 1
    await site.bot.answer("Ev1")  # as the queue does
    assert "45 days" in shown(site.message("C1"))


async def test_an_answer_that_was_whole_when_it_was_stopped_is_shown_and_not_written_again(
    site: Site,
) -> None:
    site.slack.stumbles["chat.update"] = [web.json_response({"ok": False, "error": "fatal_error"})]
    with pytest.raises(Exception, match="fatal_error"):
        await site.tell(mention(QUESTION))
    asked = len(site.gateway.requests)
    await site.bot.answer("Ev1")
    assert "45 days" in shown(site.message("C1"))
    assert len(site.gateway.requests) == asked
    async with site.database.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(turns)) == 1


async def test_the_queue_answers_what_was_taken(site: Site) -> None:
    durable = Durable(site.database.url, executor_id="exe_worker")
    site.bot.register(durable)
    await site.tell(mention(QUESTION), answers=False)
    await durable.launch()  # a worker that starts after the question was taken
    try:
        async with asyncio.timeout(30):
            while not any("45 days" in shown(each) for each in site.slack.messages.values()):  # noqa: ASYNC110 - Slack tells nobody
                await asyncio.sleep(0.05)
    finally:
        await durable.close()


# --- whose rights --------------------------------------------------------------------------------------


async def test_who_has_no_account_is_told_so_and_nothing_else(site: Site) -> None:
    await site.tell(mention(QUESTION, user="UEVE"))
    said = shown(site.message("C1"))
    assert "ask an administrator" in said
    assert "45" not in said
    assert site.gateway.requests == []


@pytest.mark.parametrize(
    "more",
    [
        {"team_id": "T2"},
        {"is_bot": True},
        {"deleted": True},
        {"is_stranger": True},
        {"is_email_confirmed": False},
        {"profile": {}},
    ],
)
async def test_an_address_that_the_workspace_does_not_vouch_for_counts_for_nothing(
    site: Site, more: dict[str, Any]
) -> None:
    site.slack.people["UANN"] |= more
    await site.tell(mention(QUESTION))
    assert "ask an administrator" in shown(site.message("C1"))
    assert site.gateway.requests == []


async def test_the_asker_gets_nothing_from_documents_they_may_not_see(site: Site) -> None:
    await site.hide("doc_returns", "user:usr_ben")
    await site.tell(direct(QUESTION))
    assert "45" not in shown(site.message("DUANN"))
    await site.tell(direct(QUESTION, user="UBEN", event_id="Ev2"))
    assert "45 days" in shown(site.message("DUBEN"))


async def test_an_account_that_was_disabled_is_refused_at_once(
    site: Site, accounts: dict[str, Principal]
) -> None:
    await site.tell(direct(QUESTION))
    del accounts["ann@example.com"]
    await site.tell(direct(QUESTION, event_id="Ev2", thread_ts="1.0"))
    last = [body for (place, _), body in site.slack.messages.items() if place == "DUANN"][-1]
    assert "ask an administrator" in shown(last)


async def test_what_not_everybody_may_see_is_answered_directly(site: Site) -> None:
    await site.hide("doc_returns", "user:usr_ann")
    await site.tell(mention(QUESTION))
    assert "45" not in shown(site.message("C1"))
    assert "<@UANN>" in shown(site.message("C1"))
    assert "45 days" in shown(site.message("DUANN"))
    assert "thread_ts" not in site.message("DUANN")


async def test_in_a_channel_shared_with_another_company_every_answer_is_direct(site: Site) -> None:
    await site.tell({**mention(QUESTION), "is_ext_shared_channel": True})
    assert "45" not in shown(site.message("C1"))
    assert "45 days" in shown(site.message("DUANN"))


async def test_what_one_was_told_in_a_thread_is_not_told_to_another_who_may_not_see_it(site: Site) -> None:
    await site.hide("doc_returns", "user:usr_ann")
    first = mention(QUESTION)
    await site.tell(first)
    before = len(site.gateway.requests)
    await site.tell(mention("And stoves?", user="UBEN", event_id="Ev2", thread_ts=first["event"]["ts"]))
    assert "45" not in str(site.gateway.requests[before:])


# --- hostile documents ---------------------------------------------------------------------------------


async def test_documents_can_neither_mention_nor_link(site: Site, database: Database) -> None:
    hostile = (
        "Tents may be returned within 45 days of delivery <!channel> <@UBEN> <https://evil.example|here> "
        "[click](https://evil.example/x) & more [1]."
    )
    sheet = Sheet(id="doc_evil", title="<!here> *x*", texts=(hostile.removesuffix(" [1]."),))
    await SheetPile(database, PostgresIndex(database)).add(sheet)
    await _open_to_all(database)
    site.gateway._replies = [hostile]
    await site.tell(mention(QUESTION))
    said = site.message("C1")
    for text in (shown(said), said["text"]):
        for mark in ("<!", "<@", "<https://evil", "](https://evil"):
            assert mark not in text
    assert "&lt;!channel&gt;" in shown(said)
    assert all(block["text"]["verbatim"] for block in said["blocks"] if block["type"] == "section")


# --- thumbs --------------------------------------------------------------------------------------------


async def test_a_thumb_up_is_recorded_for_the_person_who_pressed_it(site: Site) -> None:
    await site.tell(mention(QUESTION))
    answer = await site.press(pressed("causeway_up", "C1", site.place("C1"), user="UBEN"))
    assert answer.status_code == 200
    assert await site.votes() == [("usr_ben", True, None, None)]
    assert site.slack.whispers[-1]["user"] == "UBEN"


async def test_a_thumb_down_asks_for_the_reason_and_takes_it(site: Site) -> None:
    await site.tell(mention(QUESTION))
    ts = site.place("C1")
    assert (await site.press(pressed("causeway_down", "C1", ts))).status_code == 200
    assert await site.votes() == [("usr_ann", False, None, None)]
    view = site.slack.views[-1]["view"]
    given = {
        "causeway_reason": {"causeway_reason": {"selected_option": {"value": "incomplete"}}},
        "causeway_correction": {"causeway_correction": {"value": "60 days for members"}},
    }
    sent = {"type": "view_submission", "user": {"id": "UANN"}, "view": {**view, "state": {"values": given}}}
    assert (await site.press(urlencode({"payload": json.dumps(sent)}).encode())).status_code == 200
    assert await site.votes() == [("usr_ann", False, "incomplete", "60 days for members")]


async def test_a_stranger_cannot_vote(site: Site) -> None:
    await site.tell(mention(QUESTION))
    await site.press(pressed("causeway_up", "C1", site.place("C1"), user="UEVE"))
    assert await site.votes() == []


async def test_a_thumb_on_what_is_no_answer_is_refused(site: Site) -> None:
    await site.tell(mention(QUESTION))
    assert (await site.press(pressed("causeway_up", "C1", "1.0"))).status_code == 503
    assert await site.votes() == []


# --- failures ------------------------------------------------------------------------------------------


async def test_a_question_that_cannot_be_answered_is_told_so_in_the_thread(site: Site) -> None:
    site.bot._settings = site.bot._settings.model_copy(update={"collection": "no <such>"})
    await site.tell(mention(QUESTION))
    said = shown(site.message("C1"))
    assert said.startswith("I cannot answer this: ")
    assert "<such>" not in said
