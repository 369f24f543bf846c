"""Posts to addresses that somebody wrote into the settings, as guarded as what is fetched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Final

from causeway.guard.safe_fetch import SafeFetcher

_TIMEOUT_S: Final = 20.0
_USER_AGENT: Final = "Causeway alerts"


def guarded_post(allow: Sequence[str]) -> Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]:
    """What posts a body to a public address, or to one in ``allow``, and gives back the status.

    It raises what `causeway.guard.safe_fetch.SafeFetcher.post` does.
    """
    networks = [ip_network(each) for each in allow]

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        async with SafeFetcher(
            user_agent=_USER_AGENT, timeout_s=_TIMEOUT_S, max_bytes=1, allow=networks
        ) as fetcher:
            return await fetcher.post(url, body, headers=headers)

    return post
