"""Rates: calls and tokens in any 60 seconds, and calls at once, of each key; how they are told to clients.

The headers are OpenAI's (https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers"), so that the
clients that know them know ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from causeway.contracts.identity import Principal
from causeway.errors import RateLimitedError
from causeway.settings import TierSettings
from causeway.storage.shared_state import Meter, Reserved

CALLS = "calls"
TOKENS = "tokens"
WINDOW_S = 60

_SOON_S = 1.0
"""When to try again where nobody knows: a call under way may end at any time."""

_NAMES = {
    unit: tuple(f"x-ratelimit-{figure}-{what}" for figure in ("limit", "remaining", "reset"))
    for unit, what in ((CALLS, "requests"), (TOKENS, "tokens"))
}


def rate_meters(principal: Principal, tier: TierSettings) -> tuple[Meter, ...]:
    """What bounds the calls of a key; a limit that the tier does not set has no meter."""
    meters = (
        tier.requests_per_minute
        and Meter("window", f"requests:{principal.id}", tier.requests_per_minute, CALLS, WINDOW_S),
        tier.tokens_per_minute
        and Meter("window", f"tokens:{principal.id}", tier.tokens_per_minute, TOKENS, WINDOW_S),
        tier.concurrent_requests
        and Meter("level", f"concurrent:{principal.id}", tier.concurrent_requests, CALLS),
    )
    return tuple(meter for meter in meters if meter)


def rate_headers(meters: Sequence[Meter], reserved: Reserved) -> dict[str, str]:
    """``x-ratelimit-limit-requests: 20`` and so on, of requests and tokens where they are limited."""
    headers = {}
    for place, meter in enumerate(meters):
        if meter.kind == "window":
            remaining = reserved.remaining[place]
            limit, left, reset = _NAMES[meter.unit]
            headers[limit] = str(meter.limit)
            headers[left] = str(remaining) if remaining > 0 else "0"
            headers[reset] = duration(reserved.resets_in_s[place])
    return headers


def rate_limited(
    meter: Meter, principal: Principal, *, left: int, wait_s: float | None, tokens: int
) -> RateLimitedError:
    """Why a rate with ``left`` left refused a call that may take ``tokens``, and when it would not."""
    tier = f"tier '{principal.tier}'"
    if meter.kind == "level":
        msg = f"{meter.limit} calls of key '{principal.name}' are under way, all that {tier} allows at once"
        return RateLimitedError(f"{msg}; try again when one has ended").after(_SOON_S)
    if wait_s is None:
        msg = f"this call may take {tokens} tokens, more than the {meter.limit} a minute that {tier} allows"
        return RateLimitedError(f"{msg}; shorten it or ask for fewer tokens of output")
    if meter.unit == CALLS:
        msg = f"{tier} allows {meter.limit} requests a minute, and all are used"
    else:
        msg = (
            f"{tier} allows {meter.limit} tokens a minute; "
            f"{max(0, left)} are left and this call may take {tokens}"
        )
    return RateLimitedError(f"{msg}; try again in {duration(ceil(wait_s))}").after(wait_s)


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them, which is how Go does: ``17ms``, ``1s``, ``8.64s``, ``6m0s``, ``1h0m0s``."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    minutes, rest = divmod(milliseconds, 60_000)
    if minutes < 60:
        return f"{minutes}m{rest / 1000:g}s"
    return f"{minutes // 60}h{minutes % 60}m{rest / 1000:g}s"
