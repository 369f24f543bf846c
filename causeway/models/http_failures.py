"""What can go wrong with a call over HTTP, told without saying whose server it was; `causeway.models.upstream` does."""

from __future__ import annotations


class HttpFailure(Exception):  # noqa: N818 - the family; its members are errors
    """A call that brought no whole answer."""


class BadAddressError(HttpFailure):
    """The address is none that can be called."""


class BadHeaderError(HttpFailure):
    """A header that cannot be sent; the message names it."""


class UnreachableServerError(HttpFailure):
    """No connection could be had."""


class BrokenAnswerError(HttpFailure):
    """What came is no HTTP, is not bounded, or broke off."""


class StaleConnectionError(BrokenAnswerError):
    """A connection that was kept open had been closed by the server, which never saw the request."""


class SilentServerError(HttpFailure, TimeoutError):
    """Nothing came for longer than may be."""
