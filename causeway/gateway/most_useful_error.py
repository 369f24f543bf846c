"""When a call failed everywhere: which of its errors its caller is told, and what was tried."""

from __future__ import annotations

from collections.abc import Sequence

from causeway.errors import (
    CausewayError,
    ContextLengthError,
    ModelUnavailableError,
    OperatorError,
    TryLaterError,
    UpstreamRateLimitError,
)
from causeway.gateway.breaker import Breaker


def most_useful_error(
    asked: str, errors: Sequence[tuple[str, CausewayError]], resting: Sequence[Breaker]
) -> CausewayError:
    """The error to raise: the only one as it is, of several the most useful with a list of what was tried.

    Args:
        asked: The model's name as the caller gave it.
        errors: What each try on which route ended with, in order.
        resting: The breakers of routes that were not tried, because they are left alone.
    """
    if not errors:
        return _all_rest(asked, resting)
    _, error = max(reversed(errors), key=lambda tried: _usefulness(tried[1]))
    if len(errors) == 1 and not resting:
        return error
    codes: dict[str, list[str]] = {}
    for name, one in errors:
        codes.setdefault(name, []).append(one.code)
    tried = [_told(name, of_route) for name, of_route in codes.items()]
    tried += [f"{breaker.name} (left alone for {breaker.rest_s:.0f} s)" for breaker in resting]
    told = type(error)(f"{error.message}; tried {', '.join(tried)}").after(error.retry_after_s)
    told.__cause__ = error
    return told


def _all_rest(asked: str, resting: Sequence[Breaker]) -> CausewayError:
    soonest_s = min(breaker.rest_s for breaker in resting)
    reasons = "; ".join(f"{breaker.name}: {breaker.reason}" for breaker in resting)
    return ModelUnavailableError(
        f"'{asked}' is left alone after failures, for {soonest_s:.0f} s more ({reasons})"
    ).after(soonest_s)


def _usefulness(error: CausewayError) -> int:
    """A limit says when to come back, too long a request what to change; a broken installation helps nobody."""
    match error:
        case UpstreamRateLimitError():
            return 4
        case ContextLengthError():
            return 3
        case TryLaterError():
            return 2
        case OperatorError():
            return 1
        case _:
            return 0


def _told(name: str, codes: Sequence[str]) -> str:
    times = f" {len(codes)} times" if len(codes) > 1 else ""
    return f"{name}{times} ({', '.join(dict.fromkeys(codes))})"
