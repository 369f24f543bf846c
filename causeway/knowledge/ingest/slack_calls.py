"""Calls of Slack's methods: an answer that is not ``ok`` becomes an error that says what to do.

Shared by the source that reads channels and by the bot that answers in them. https://api.slack.com/methods
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from pydantic import SecretStr

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError, SettingsError, UpstreamError, UpstreamRateLimitError
from causeway.knowledge.ingest.vendor_api import Json, VendorApi, open_api, text_of

API: Final = "https://slack.com/api"

_BAD_TOKEN = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"}
)
_MISSING = frozenset(
    {"not_in_channel", "channel_not_found", "thread_not_found", "message_not_found", "user_not_found"}
)


class MissingInSlackError(UpstreamError):
    """Slack has no such channel, message or person, or not for this app."""


class SlackCalls:
    """Slack's methods; made by `open_slack_calls`."""

    def __init__(self, api: VendorApi, *, section: str) -> None:
        """``section`` is what messages call the settings that hold the token."""
        self._api = api
        self._section = section

    async def read(self, method: str, asked: Mapping[str, str]) -> Json:
        """The answer of a method that reads.

        Raises:
            SettingsError: The token is refused, or lacks a scope.
            MissingInSlackError: There is no such channel, message or person.
            TryLaterError: Slack is out of reach, allows no more calls now, or answers something else.
        """
        return self._checked(method, await self._api.get(f"/{method}", asked))

    async def write(self, method: str, body: Json, *, adds: bool = False) -> Json:
        """The answer of a method that writes; raises like `read`.

        ``adds``: a repeat would do it twice, so it is repeated only where it is known not to have been done: Slack has no
        key by which it knows a repeat.
        """
        return self._checked(method, await self._api.post(f"/{method}", body, adds=adds))

    def _checked(self, method: str, answer: Json) -> Json:
        if answer.get("ok") is True:
            return answer
        raise self._refusal(method, text_of(answer.get("error")), text_of(answer.get("needed")))

    def _refusal(self, method: str, error: str, needed: str) -> CausewayError:
        if error in _BAD_TOKEN:
            return SettingsError(
                f"{self._section} refuses its token ({error}); put a valid one into its section"
            )
        if error == "missing_scope":
            return SettingsError(
                f"{self._section} needs the scope '{needed}' for '{method}'; add it and install the app again"
            )
        if error in _MISSING:
            return MissingInSlackError(
                f"Slack answers '{method}' with '{error}'; is the app still in the channel?"
            )
        if error == "ratelimited":
            return UpstreamRateLimitError(f"{self._section} allows no more calls of '{method}' now")
        return UpstreamError(
            f"{self._section} answers '{method}' with '{error[:80] or 'no error of its own'}'"
        )


@asynccontextmanager
async def open_slack_calls(
    *, base_url: str, token: SecretStr, section: str, clock: Clock, every_s: float, timeout_s: float
) -> AsyncIterator[SlackCalls]:
    """Slack as the bearer of ``token``, at ``base_url`` in place of its own address when that is not empty."""
    opening = open_api(
        base_url or API,
        name=section,
        headers={"Authorization": f"Bearer {token.get_secret_value()}"},
        clock=clock,
        every_s=every_s,
        timeout_s=timeout_s,
    )
    async with opening as api:
        yield SlackCalls(api, section=section)
