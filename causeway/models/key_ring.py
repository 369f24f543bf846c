"""A provider's keys, used in turn; one that the provider refused is passed over for a while."""

from __future__ import annotations

from collections.abc import Sequence

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError, OperatorError, UpstreamRateLimitError

_REFUSED_REST_S = 300.0
_LIMITED_REST_S = 10.0


class KeyRing:
    """Picks a key for each call.

    A rest is a preference, not a ban: when every key rests, the one that wakes first is used, because a limit may be
    of one model and a refusal may have been mended meanwhile.

    Args:
        keys: In the order of the settings; empty for a server that wants none.
        clock: Measures the rests.
    """

    def __init__(self, keys: Sequence[str], clock: Clock) -> None:
        self.keys = tuple(keys) or ("",)
        self._clock = clock
        self._wakes_at = [0.0] * len(self.keys)
        self._next = 0

    def take(self) -> int:
        """The place in `keys` of the one to use now."""
        count = len(self.keys)
        if count == 1:
            return 0
        now = self._clock.monotonic()
        turns = [(self._next + step) % count for step in range(count)]
        awake = (place for place in turns if self._wakes_at[place] <= now)
        place = next(awake, None)
        if place is None:
            place = min(turns, key=self._wakes_at.__getitem__)
        self._next = (place + 1) % count
        return place

    def refused(self, place: int, error: CausewayError) -> bool:
        """Let the key rest if ``error`` is about it; whether another key is awake that could be tried at once."""
        if isinstance(error, UpstreamRateLimitError):
            rest_s = error.retry_after_s if error.retry_after_s is not None else _LIMITED_REST_S
        elif isinstance(error, OperatorError):
            rest_s = _REFUSED_REST_S
        else:
            return False
        now = self._clock.monotonic()
        self._wakes_at[place] = now + rest_s
        return any(wakes_at <= now for wakes_at in self._wakes_at)
