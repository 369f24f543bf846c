"""How many retries an outage may cost: a share of the calls, so that a provider in trouble is not called many times more.

After Finagle's retry budget (https://twitter.github.io/finagle/guide/Clients.html#retries): every call earns a share of
a retry, every retry spends one. A small reserve that fills with time lets a quiet gateway retry too.
"""

from __future__ import annotations

from causeway.contracts.clock import Clock

_RESERVE = 10.0
_RESERVE_FILLS_IN_S = 10.0
_MOST_SAVED = 100.0


class RetryBudget:
    """The budget of one provider's model.

    Args:
        share: Retries in each call, in [0, 1]; 0 allows none at all.
        clock: Fills the reserve.
    """

    __slots__ = ("_clock", "_left", "_refilled_at", "_share")

    def __init__(self, share: float, clock: Clock) -> None:
        self._share = share
        self._clock = clock
        self._left = _RESERVE if share else 0.0
        self._refilled_at = clock.monotonic()

    def earn(self) -> None:
        """A call began."""
        self._left = min(_MOST_SAVED, self._left + self._share)

    def spend(self) -> bool:
        """Whether there may be a retry now; if so, it is paid for."""
        now = self._clock.monotonic()
        if self._share and self._left < _RESERVE:
            grown = (now - self._refilled_at) * _RESERVE / _RESERVE_FILLS_IN_S
            self._left = min(_RESERVE, self._left + grown)
        self._refilled_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
