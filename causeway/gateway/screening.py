"""What is looked at and masked on the way to a model, and put back on the way to the caller.

`Screening.screen` comes before the provider, the cache, the trace and the log: all of them see placeholders alone.
`Screened.restore_reply` and `Screened.restoring` come last, behind the cache and the trace.

Markdown of replies is filtered for people only (`Screening.filtering`): a program that calls ``/v1`` gets what the model
wrote, since it may be code, a template or JSON, and the program alone knows where it will be shown. The filter comes
before the values are put back, so that it judges what the model wrote.

Not looked at: pictures, audio and files, and the ``name`` of a message, which providers restrict to letters.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from causeway.contracts.chat import ChatReply, ChatRequest
from causeway.errors import CausewayError, ContentBlockedError, GuardFailedError
from causeway.gateway.request_texts import changed, texts_of, untrusted_texts_of
from causeway.gateway.screened_reply import UNCHANGED, ChunkFilter, ReplyFilter, ReplyRestorer, restored_reply
from causeway.guard.injection import UNSUSPICIOUS, Suspicion, suspicion
from causeway.guard.pii import Finder, Found
from causeway.guard.restore import Placeholders, Syntax
from causeway.guard.verdict import Verdict
from causeway.settings import GuardSettings, TierSettings

log = logging.getLogger(__name__)

_MOST_CHARACTERS_INLINE = 200_000
"""Longer calls are screened in a thread: at 0.1 ms a kilobyte of dense personal data this is 20 ms."""

_PURPOSES_OF_PEOPLE = frozenset({"ask", "answer"})
"""Calls whose reply somebody reads as it is."""

_MOST_REMEMBERED = 2_048
_MOST_REMEMBERED_SPANS = 64

CLEAN = Verdict()


class Screened(msgspec.Struct, frozen=True, kw_only=True):
    """A request as its provider may see it, what was found in it, and the way back."""

    request: ChatRequest
    verdict: Verdict
    placeholders: Placeholders | None = None

    @property
    def salt(self) -> bytes:
        """A digest of the hidden values: requests that look alike masked may still need different replies."""
        return b"" if self.placeholders is None else self.placeholders.digest

    def restore_reply(self, reply: ChatReply) -> ChatReply:
        """``reply`` with the caller's values in place of their placeholders."""
        return reply if self.placeholders is None else restored_reply(reply, self.placeholders, self._syntax)

    def restoring(self) -> ChunkFilter:
        """The same for a stream: feed it every chunk, then end it."""
        return UNCHANGED if self.placeholders is None else ReplyRestorer(self.placeholders, self._syntax)

    @property
    def _syntax(self) -> Syntax:
        """Whether the reply's text is JSON, where a value with a quote must be escaped."""
        wanted = self.request.options.get("response_format")
        is_object = isinstance(wanted, Mapping) and wanted.get("type") in ("json_object", "json_schema")
        return "json" if is_object or self.request.json_schema is not None else "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedTexts:
    """Texts to embed or to rank as their provider may see them; one for one."""

    texts: tuple[str, ...]
    verdict: Verdict


class Screening:
    """Looks at every call; one for the process, safe to use from several threads.

    Raises:
        SettingsError: The settings name a kind or a region that does not exist.
        MissingCapabilityError: Names of people are wanted and the extra is not installed.
    """

    def __init__(self, settings: GuardSettings) -> None:
        self._finder = Finder(settings)
        self._most_inline = 0 if self._finder.names_people else _MOST_CHARACTERS_INLINE
        self._threshold = settings.injection_threshold
        self._remembered = _Remembered()

    def screen(self, request: ChatRequest, tier: TierSettings, *, is_local: bool) -> Screened:
        """``request`` as ``tier`` wants it: masked, refused or let through.

        Args:
            request: What a caller sent.
            tier: The caller's.
            is_local: The model is on this machine, where personal data goes nowhere.

        Raises:
            ContentBlockedError: The tier refuses what was found.
            GuardFailedError: A guard broke, and the tier lets nothing through unguarded.
        """
        return self._screened(request, tier, texts_of(request), is_local=is_local)

    async def screen_without_blocking(
        self, request: ChatRequest, tier: TierSettings, *, is_local: bool
    ) -> Screened:
        """As `screen`; a long request is screened in a thread, so that the event loop goes on."""
        texts = texts_of(request)
        if sum(map(len, texts)) > self._most_inline:
            return await asyncio.to_thread(self._screened, request, tier, texts, is_local=is_local)
        return self._screened(request, tier, texts, is_local=is_local)

    def texts(self, texts: Sequence[str], tier: TierSettings, *, is_local: bool) -> ScreenedTexts:
        """Texts to embed or rank, masked in one table: equal values become equal placeholders.

        Raises:
            ContentBlockedError: The tier refuses what was found.
            GuardFailedError: A guard broke, and the tier lets nothing through unguarded.
        """
        given = tuple(texts)
        if not _masks(tier, is_local=is_local):
            return ScreenedTexts(texts=given, verdict=CLEAN)
        try:
            found = self._found(given)
            placeholders = self._masking(found, given, tier)
            if placeholders is None:
                return ScreenedTexts(texts=given, verdict=CLEAN)
            masked = tuple(placeholders.mask(text, found.get(text, ())) for text in given)
            return ScreenedTexts(texts=masked, verdict=_verdict(placeholders, UNSUSPICIOUS, is_tainted=False))
        except CausewayError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever breaks in a guard, the tier's policy decides
            return ScreenedTexts(texts=given, verdict=_failed(exc, tier))

    async def texts_without_blocking(
        self, texts: Sequence[str], tier: TierSettings, *, is_local: bool
    ) -> ScreenedTexts:
        """As `texts`; many or long ones are screened in a thread."""
        if sum(map(len, texts)) > self._most_inline:
            return await asyncio.to_thread(self.texts, texts, tier, is_local=is_local)
        return self.texts(texts, tier, is_local=is_local)

    def filtering(
        self, tier: TierSettings, purpose: str, hosts: frozenset[str] = frozenset()
    ) -> ReplyFilter | None:
        """What a reply to people goes through before its values are put back; None where it stays as it is.

        Args:
            tier: The caller's.
            purpose: The call's; a program's call (``api``) is never filtered.
            hosts: The operator's own hosts, whose links and pictures stay.
        """
        return ReplyFilter(hosts) if tier.filter_output and purpose in _PURPOSES_OF_PEOPLE else None

    def _screened(
        self, request: ChatRequest, tier: TierSettings, texts: Sequence[str], *, is_local: bool
    ) -> Screened:
        """``request``, whose texts are ``texts``, as ``tier`` wants it, or has it when a guard breaks."""
        try:
            return self._looked_at(request, tier, texts, masks=_masks(tier, is_local=is_local))
        except CausewayError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever breaks in a guard, the tier's policy decides
            return Screened(request=request, verdict=_failed(exc, tier))

    def _looked_at(
        self, request: ChatRequest, tier: TierSettings, texts: Sequence[str], *, masks: bool
    ) -> Screened:
        suspected, is_tainted = UNSUSPICIOUS, False
        if tier.injection != "off":
            suspected = self._suspicion(untrusted_texts_of(request))
            is_tainted = suspected.score >= self._threshold
            if is_tainted and tier.injection == "refuse":
                signals = ", ".join(suspected.signals)
                raise ContentBlockedError(f"the call looks like a prompt injection ({signals}); reword it")
        if masks:
            found = self._found(texts)
            placeholders = self._masking(found, texts, tier) if found else None
            if placeholders is not None:
                masked = changed(request, lambda text: placeholders.mask(text, self._spans(found, text)))
                if placeholders:  # JSON as a whole may look like something that none of its strings is
                    verdict = _verdict(placeholders, suspected, is_tainted=is_tainted)
                    return Screened(request=masked, verdict=verdict, placeholders=placeholders)
        if not suspected.signals:
            return Screened(request=request, verdict=CLEAN)
        return Screened(request=request, verdict=_verdict(None, suspected, is_tainted=is_tainted))

    def _found(self, texts: Iterable[str]) -> dict[str, tuple[Found, ...]]:
        """What each of ``texts`` holds; texts that hold nothing are left out."""
        found: dict[str, tuple[Found, ...]] = {}
        for text in texts:
            if text and (spans := self._remembered.found(text, self._finder)):
                found[text] = spans
        return found

    def _spans(self, found: dict[str, tuple[Found, ...]], text: str) -> tuple[Found, ...]:
        """What ``text`` holds, which may be a string inside the JSON that was searched as a whole."""
        spans = found.get(text)
        return self._finder.find(text) if spans is None else spans

    def _masking(
        self, found: dict[str, tuple[Found, ...]], texts: Iterable[str], tier: TierSettings
    ) -> Placeholders | None:
        """An empty table for what was found; None when nothing was."""
        if not found:
            return None
        if tier.pii == "refuse":
            kinds = sorted({one.kind.value.replace("_", " ") for spans in found.values() for one in spans})
            raise ContentBlockedError(
                f"the call holds what its tier may not send: {', '.join(kinds)}; take it out"
            )
        return Placeholders(typed=texts)

    def _suspicion(self, texts: Iterable[str]) -> Suspicion:
        """The strongest suspicion about any of ``texts``."""
        strongest = UNSUSPICIOUS
        for text in texts:
            suspected = self._remembered.suspicion(text)
            if suspected.score > strongest.score:
                strongest = suspected
        return strongest


class _Remembered:
    """What earlier calls found in a text, so that a conversation's history is not searched at every turn.

    Kept by the text's hash, which is salted per process: places and scores, and no text.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[int, int], tuple[Found, ...]] = OrderedDict()
        self._suspicions: OrderedDict[tuple[int, int], Suspicion] = OrderedDict()

    def found(self, text: str, finder: Finder) -> tuple[Found, ...]:
        """What ``finder`` finds in ``text``."""
        key = hash(text), len(text)
        known = self._found.get(key)
        if known is None:
            known = finder.find(text)
            if len(known) <= _MOST_REMEMBERED_SPANS:
                self._found[key] = known
                _trim(self._found)
        return known

    def suspicion(self, text: str) -> Suspicion:
        """How much ``text`` looks like an injection."""
        key = hash(text), len(text)
        known = self._suspicions.get(key)
        if known is None:
            known = self._suspicions[key] = suspicion(text)
            _trim(self._suspicions)
        return known


def _trim(remembered: OrderedDict[tuple[int, int], Any]) -> None:
    """Forget the oldest; one step of C each, so that threads need no lock."""
    if len(remembered) > _MOST_REMEMBERED:
        remembered.popitem(last=False)


def _masks(tier: TierSettings, *, is_local: bool) -> bool:
    return tier.pii != "off" and (tier.mask_local or not is_local)


def _verdict(placeholders: Placeholders | None, suspected: Suspicion, *, is_tainted: bool) -> Verdict:
    return Verdict(
        action="masked" if placeholders else "passed",
        found=placeholders.counts if placeholders else {},
        injection_score=suspected.score,
        injection_signals=suspected.signals,
        is_tainted=is_tainted,
    )


def _failed(exc: Exception, tier: TierSettings) -> Verdict:
    """The verdict on a call whose guard broke; the log tells where, without the message, which may hold content.

    Raises:
        GuardFailedError: The tier is closed.
    """
    trace = "".join(traceback.format_tb(exc.__traceback__))
    log.error(
        "guard broke", extra={"error": type(exc).__name__, "at": trace, "policy": tier.on_guard_failure}
    )
    if tier.on_guard_failure == "closed":
        msg = "the call could not be screened, and its tier lets nothing through unscreened; see the server's log"
        raise GuardFailedError(msg) from None
    return replace(CLEAN, action="failed_open", failed=True)
