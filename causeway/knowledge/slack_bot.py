"""Questions asked in Slack: by a mention in a channel, or in a direct message; answered in the thread, with citations.

A question is taken within milliseconds: a row and a place in the durable queue, one transaction. It is answered as the
person with the asker's e-mail address, so by their access rules, and the message is written on as the answer comes. What
was killed meanwhile is begun again and writes into the same message. An answer that rests on what not every person here
may see is not written into a channel: it goes to its asker alone.

Whether a request is Slack's is the door's to know (`causeway.web.slack_door`). Choice: ``docs/adr/0036-slack-bot.md``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import CausewayError, NotFoundError, TryLaterError
from causeway.knowledge.answer.answer import AskRequest
from causeway.knowledge.answer.conversing import ConversingAnswerer
from causeway.knowledge.answer.events import Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.ingest.slack_calls import SlackCalls
from causeway.knowledge.ingest.slack_messages import Workspace
from causeway.knowledge.ingest.vendor_api import Json, object_of, objects_of, text_of
from causeway.knowledge.slack_mrkdwn import (
    CORRECTION,
    DOWN,
    REASON,
    REASONS,
    UP,
    escaped,
    message,
    notice,
    reason_form,
)
from causeway.knowledge.slack_people import SlackPeople, WhoIs
from causeway.knowledge.slack_rows import WORK, SlackQuestion, SlackQuestions
from causeway.observability.feedback import Feedback
from causeway.product_sections import SlackSettings
from causeway.storage.durable import Durable

log = logging.getLogger(__name__)

_AT_ONCE: Final = 4
_LONGEST_QUESTION: Final = 4_000
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>")
_HOW_TO = "Ask me a question, and I look for the answer in the documents that you may see."
_STRANGER = (
    "I answer people who have an account in Causeway, and I know of none with your e-mail address here. "
    "Please ask an administrator for one."
)
_MOVED = (
    "<@{asker}>, this answer rests on documents that not everybody here may see. I sent it to you directly."
)


class SlackBot:
    """Takes questions and thumbs from Slack and answers them."""

    def __init__(
        self,
        settings: SlackSettings,
        *,
        calls: SlackCalls,
        questions: SlackQuestions,
        answerer: ConversingAnswerer,
        who_is: WhoIs,
        votes: Feedback,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._questions = questions
        self._answerer = answerer
        self._votes = votes
        self._clock = clock
        self._people = SlackPeople(calls, who_is, clock)
        self._workspace = Workspace(url="", people={}, channels={})

    @property
    def signing_secret(self) -> str:
        """What Slack signs its requests with."""
        return self._settings.signing_secret.get_secret_value()

    def register(self, durable: Durable) -> None:
        """Have ``durable`` answer questions; before its launch."""
        durable.register(WORK, self.answer, concurrency=_AT_ONCE)

    async def forget_before(self, oldest: datetime) -> int:
        """Forget which questions were asked before; returns how many."""
        return await self._questions.forget_before(oldest)

    # --- what Slack tells ----------------------------------------------------------------------------

    async def take(self, told: Json) -> bool:
        """Take the question in an event, if there is one; False for all else, and for what was taken before.

        Raises:
            DatabaseUnavailableError: It is not kept; Slack delivers it again when it is told so.
        """
        asked = _question_in(told)
        return asked is not None and await self._questions.take(asked)

    async def press(self, told: Json) -> None:
        """Take a thumb, or the reason that a form asked for.

        Raises:
            CausewayError: It is not recorded.
        """
        kind = text_of(told.get("type"))
        person = text_of(object_of(told.get("user")).get("id"))
        if kind == "view_submission":
            await self._take_reason(object_of(told.get("view")), person)
            return
        actions = [each for each in objects_of(told.get("actions")) if each.get("action_id") in (UP, DOWN)]
        if kind != "block_actions" or not actions:
            return
        place = object_of(told.get("container"))
        channel, ts = text_of(place.get("channel_id")), text_of(place.get("message_ts"))
        is_up = actions[0]["action_id"] == UP
        if not await self._vote(person, channel, ts, is_up=is_up):
            await self._whisper(channel, person, _STRANGER)
        elif is_up:
            await self._whisper(channel, person, "Thank you, noted.")
        else:
            view = reason_form(json.dumps([channel, ts]))
            opened = {"trigger_id": text_of(told.get("trigger_id")), "view": view}
            await self._calls.write("views.open", opened, adds=True)

    # --- thumbs --------------------------------------------------------------------------------------

    async def _take_reason(self, view: Json, person: str) -> None:
        if view.get("callback_id") != REASON:
            return
        channel, ts = _place_in(text_of(view.get("private_metadata")))
        given = object_of(object_of(view.get("state")).get("values"))
        chosen = object_of(object_of(object_of(given.get(REASON)).get(REASON)).get("selected_option"))
        said = text_of(object_of(object_of(given.get(CORRECTION)).get(CORRECTION)).get("value")).strip()
        reason = text_of(chosen.get("value"))
        await self._vote(
            person,
            channel,
            ts,
            is_up=False,
            reason=reason if reason in REASONS else None,
            correction=said or None,
        )

    async def _vote(
        self,
        person: str,
        channel: str,
        ts: str,
        *,
        is_up: bool,
        reason: str | None = None,
        correction: str | None = None,
    ) -> bool:
        """Whether a thumb on the answer in a message is recorded: anybody with an account may who reads it there."""
        principal = await self._people.find(person)
        if principal is None:
            return False
        trace_id = await self._questions.trace_of(channel, ts)
        if trace_id is None:
            msg = "there is no answer in that message any more"
            raise NotFoundError(msg)
        await self._votes.vote(trace_id, principal.owner, is_up=is_up, reason=reason, correction=correction)
        return True

    async def _whisper(self, channel: str, person: str, words: str) -> None:
        """Say something that ``person`` alone reads; nothing depends on whether it arrives."""
        try:
            told = {"channel": channel, "user": person, "text": words}
            await self._calls.write("chat.postEphemeral", told, adds=True)
        except CausewayError as exc:
            log.warning("nothing whispered in Slack", extra={"reason": exc.message})

    # --- answers -------------------------------------------------------------------------------------

    async def answer(self, event_id: str) -> None:
        """Answer a question that was taken; a repeat writes into the same message, and a third does nothing.

        Raises:
            TryLaterError: Slack does not answer; the queue tries again.
        """
        asked = await self._questions.find(event_id)
        if asked is None or asked.state == "done":
            return
        if asked.trace_id is not None:
            await self._show_kept(asked, asked.trace_id)
        else:
            await self._answer(asked)
        await self._questions.done(event_id)

    async def _answer(self, asked: SlackQuestion) -> None:
        page = _Page(self._calls, self._questions, asked, self._clock, every_s=self._settings.update_every_s)
        principal = await self._people.find(asked.asker)
        if principal is None or not principal.may(Scope.ASK):
            await page.write(notice(_STRANGER))
            return
        question = await self._words(asked.question)
        if not question:
            await page.write(notice(_HOW_TO))
            return
        try:
            await self._stream(asked, question[:_LONGEST_QUESTION], principal, page)
        except TryLaterError as exc:
            if page.is_slacks(exc):
                raise
            await page.write(notice(f"I cannot answer this now: {escaped(exc.message)}"))
        except CausewayError as exc:
            await page.write(notice(f"I cannot answer this: {escaped(exc.message)}"))
        except Exception:  # a worker's loop: the person who waits has to be told
            log.exception("a question from Slack failed", extra={"event_id": asked.event_id})
            await page.write(
                notice("I cannot answer this: something failed here, and Causeway's log tells what.")
            )

    async def _stream(self, asked: SlackQuestion, question: str, principal: Principal, page: _Page) -> None:
        conversation_id = self._conversation(asked, principal)
        request = AskRequest(
            question=question,
            collection=self._settings.collection or None,
            conversation_id=conversation_id,
            before=await self._questions.before(asked, principal),
        )
        call = Call(principal=principal, purpose="slack", conversation_id=conversation_id)
        text, cited = "", list[Cited]()
        async with aclosing(self._answerer.ask(request, call)) as events:
            async for event in events:
                match event:
                    case Retrieved():
                        documents = [hit.document_id for hit in event.hits]
                        if await self._is_private(asked, documents):
                            await page.move_to_asker()
                        await page.show(message("", (), self._link, is_whole=False))
                    case TextDelta():
                        text += event.text
                        await page.show(message(text, cited, self._link, is_whole=False))
                    case Cited():
                        cited.append(event)
                    case Finished():
                        await self._questions.answered(asked.event_id, event.trace_id)
                        whole = message(event.answer, event.citations, self._link, is_whole=True)
                        await page.write(whole)

    async def _show_kept(self, asked: SlackQuestion, trace_id: str) -> None:
        """Show an answer that was whole when its writer was stopped."""
        kept = await self._questions.kept(trace_id)
        page = _Page(self._calls, self._questions, asked, self._clock, every_s=self._settings.update_every_s)
        if kept is not None and asked.answer_ts is not None:
            await page.write(message(kept.answer, kept.citations, self._link, is_whole=True))

    async def _is_private(self, asked: SlackQuestion, document_ids: list[str]) -> bool:
        """Whether the answer is not for all who read where it was asked."""
        if asked.is_direct or self._settings.private_answers == "thread":
            return False
        return asked.is_shared or not await self._questions.are_for_everyone(document_ids)

    async def _words(self, text: str) -> str:
        """What is asked: without the mention of ourselves, Slack's marks as people read them."""
        ourselves = (await self._people.ourselves()).user
        rest = _MENTION.sub(lambda found: "" if found[1] == ourselves else found[0], text)
        return " ".join(self._workspace.markdown(rest).split())

    def _conversation(self, asked: SlackQuestion, principal: Principal) -> str:
        """The id of a person's conversation in a thread: the same every time, and nobody's to guess."""
        said = f"{asked.channel} {asked.thread} {principal.owner}".encode()
        return f"cnv_{hmac.new(self.signing_secret.encode(), said, hashlib.sha256).hexdigest()[:32]}"

    def _link(self, cited: Cited) -> str:
        address = self._settings.address.rstrip("/")
        place = f"/documents/{quote(cited.document_id)}?revision={cited.revision}#chunk-{cited.ordinal}"
        return f"{address}{place}" if address else ""


class _Page:
    """The message that an answer is written into: made by the first ``show`` or ``write``, changed by the others."""

    def __init__(
        self,
        calls: SlackCalls,
        questions: SlackQuestions,
        asked: SlackQuestion,
        clock: Clock,
        *,
        every_s: float,
    ) -> None:
        self._calls = calls
        self._questions = questions
        self._asked = asked
        self._clock = clock
        self._every_s = every_s
        self._channel = asked.answer_channel or asked.channel
        self._ts = asked.answer_ts
        self._thread: str | None = asked.thread
        self._next_at = 0.0
        self._failure: CausewayError | None = None

    def is_slacks(self, error: CausewayError) -> bool:
        """Whether it was Slack that failed, and not what was asked."""
        return error is self._failure

    async def move_to_asker(self) -> None:
        """Write to the asker alone, and say so where it was asked."""
        if self._ts is not None:
            return
        told = notice(_MOVED.format(asker=self._asked.asker))
        opened = await self._call("conversations.open", {"users": self._asked.asker})
        here = {"channel": self._asked.channel, "thread_ts": self._asked.thread}
        await self._call("chat.postMessage", {**here, **told}, adds=True)
        self._channel, self._thread = text_of(object_of(opened.get("channel")).get("id")), None

    async def show(self, content: Mapping[str, object]) -> None:
        """Write ``content`` if it is time: Slack takes about one change a second. One that fails is left out."""
        if self._ts is None:
            await self.write(content)
        elif self._clock.monotonic() >= self._next_at:
            try:
                await self.write(content)
            except TryLaterError as exc:
                self._failure = None
                self._next_at = self._clock.monotonic() + (exc.retry_after_s or self._every_s)
                log.warning("a part of an answer not shown in Slack", extra={"reason": exc.message})

    async def write(self, content: Mapping[str, object]) -> None:
        """Write ``content`` now.

        Raises:
            TryLaterError: Slack does not answer.
            SettingsError: The token is refused or lacks ``chat:write``.
        """
        if self._ts is None:
            thread = {"thread_ts": self._thread} if self._thread else {}
            posted = await self._call(
                "chat.postMessage", {"channel": self._channel, **thread, **content}, adds=True
            )
            self._channel = text_of(posted.get("channel")) or self._channel
            self._ts = text_of(posted.get("ts"))
            await self._questions.begun(self._asked.event_id, self._channel, self._ts)
        else:
            await self._call("chat.update", {"channel": self._channel, "ts": self._ts, **content})
        self._next_at = self._clock.monotonic() + self._every_s

    async def _call(self, method: str, body: Mapping[str, object], *, adds: bool = False) -> Json:
        try:
            return await self._calls.write(method, body, adds=adds)
        except CausewayError as exc:
            self._failure = exc
            raise


def _question_in(told: Json) -> SlackQuestion | None:
    """The question in an event; None for all that is none, such as what bots say, ourselves among them, and edits."""
    event = object_of(told.get("event"))
    kind, is_direct = text_of(event.get("type")), text_of(event.get("channel_type")) == "im"
    is_asked = kind == "app_mention" or (kind == "message" and is_direct)
    subtype = text_of(event.get("subtype"))
    if told.get("type") != "event_callback" or not is_asked or subtype not in ("", "thread_broadcast"):
        return None
    if event.get("bot_id") or event.get("edited") or event.get("hidden") is True:
        return None
    names = ("channel", "ts", "user")
    channel, ts, user = (text_of(event.get(name)) for name in names)
    event_id = text_of(told.get("event_id"))
    if not all((event_id, channel, ts, user)):
        return None
    return SlackQuestion(
        event_id=event_id[:100],
        channel=channel,
        ts=ts,
        thread=text_of(event.get("thread_ts")) or ts,
        asker=user,
        is_direct=is_direct,
        is_shared=told.get("is_ext_shared_channel") is True,
        question=text_of(event.get("text")).replace("\x00", ""),
    )


def _place_in(private: str) -> tuple[str, str]:
    """The channel and message that a form was opened for."""
    try:
        read: Any = json.loads(private)
        channel, ts = read
    except (ValueError, TypeError):
        return "", ""
    return text_of(channel), text_of(ts)
