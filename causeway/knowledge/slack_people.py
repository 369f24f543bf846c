"""Who somebody in Slack is here: Slack's person -> confirmed e-mail address -> account, with that account's sight.

Only people of the app's own workspace: somebody of another one, in a channel that both share, has an address that only
their workspace vouches for. Addresses are remembered for minutes, accounts never: who is disabled is refused at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import NotFoundError
from causeway.knowledge.ingest.slack_calls import MissingInSlackError, SlackCalls
from causeway.knowledge.ingest.vendor_api import object_of, text_of

_REMEMBERED_S: Final = 300.0
_MOST_REMEMBERED: Final = 5_000

WhoIs = Callable[[str], Awaitable[Principal]]
"""E-mail address -> that person as a caller; `NotFoundError` without an account."""


@dataclass(frozen=True, slots=True)
class Ourselves:
    """The app as Slack knows it."""

    user: str
    team: str


class SlackPeople:
    """The people of one workspace."""

    def __init__(self, calls: SlackCalls, who_is: WhoIs, clock: Clock) -> None:
        self._calls = calls
        self._who_is = who_is
        self._clock = clock
        self._ourselves: Ourselves | None = None
        self._addresses: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def ourselves(self) -> Ourselves:
        """The app's own user and workspace.

        Raises:
            SettingsError: The token is refused.
            TryLaterError: Slack does not answer.
        """
        if self._ourselves is None:
            told = await self._calls.read("auth.test", {})
            self._ourselves = Ourselves(text_of(told.get("user_id")), text_of(told.get("team_id")))
        return self._ourselves

    async def find(self, user: str) -> Principal | None:
        """Who a person is here; None for who has no account, or is not of this workspace.

        Raises:
            SettingsError: The token is refused or lacks ``users:read.email``.
            TryLaterError: Slack does not answer.
        """
        address = await self._address(user)
        if "@" not in address:
            return None
        try:
            return await self._who_is(address)
        except NotFoundError:
            return None

    async def _address(self, user: str) -> str:
        known = self._addresses.get(user)
        if known is not None and self._clock.monotonic() - known[1] < _REMEMBERED_S:
            return known[0]
        address = await self._asked_address(user)
        self._addresses[user] = (address, self._clock.monotonic())
        self._addresses.move_to_end(user)
        while len(self._addresses) > _MOST_REMEMBERED:
            self._addresses.popitem(last=False)
        return address

    async def _asked_address(self, user: str) -> str:
        try:
            person = object_of((await self._calls.read("users.info", {"user": user})).get("user"))
        except MissingInSlackError:
            return ""
        is_ours = text_of(person.get("team_id")) == (await self.ourselves()).team
        is_somebody = not (person.get("is_bot") or person.get("deleted") or person.get("is_stranger"))
        if not is_ours or not is_somebody or person.get("is_email_confirmed") is False:
            return ""
        return text_of(object_of(person.get("profile")).get("email")).strip().lower()
