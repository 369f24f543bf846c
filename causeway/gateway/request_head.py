"""What a request's headers say to the gateway: whose key it is, and how the call may be made.

A key is read from ``Authorization: Bearer`` (OpenAI), ``x-api-key`` (Anthropic) or ``api-key`` (Azure), in that order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError, NotSignedInError

_OF_THE_CALL = frozenset((b"cache-control", b"traceparent", b"x-causeway-cache", b"x-causeway-timeout"))
_BEARER = b"Bearer "


class RequestHead:
    """A request's headers; of a header sent twice the last counts."""

    __slots__ = ("_read",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._read = dict(headers)

    def text(self, name: bytes) -> str:
        """The value of ``name``; empty when it was not sent."""
        return self._read.get(name, b"").decode("latin-1")

    @property
    def is_plain_json(self) -> bool:
        """Whether the body is said to be JSON and nothing more, as nearly all are."""
        return (
            self._read.get(b"content-type") == b"application/json" and b"content-encoding" not in self._read
        )

    @property
    def secret(self) -> str:
        """The caller's key.

        Raises:
            NotSignedInError: There is none.
        """
        said = self._read.get(b"authorization", b"")
        if said.startswith(_BEARER) and (secret := said[len(_BEARER) :].decode("latin-1").strip()):
            return secret
        kind, _, secret = self.text(b"authorization").partition(" ")
        if kind.lower() != "bearer":
            secret = ""
        secret = secret.strip() or self.text(b"x-api-key") or self.text(b"api-key")
        if not secret:
            msg = "no key; send 'Authorization: Bearer cw-...', made by 'causeway keys create'"
            raise NotSignedInError(msg)
        return secret

    @property
    def is_anthropics(self) -> bool:
        """Whether an Anthropic client sent it."""
        return b"anthropic-version" in self._read

    def call(self, principal: Principal) -> Call:
        """The call of ``principal`` that this is the head of.

        Raises:
            InvalidInputError: One of the headers about it cannot be read.
        """
        if self._read.keys().isdisjoint(_OF_THE_CALL):  # as nearly always
            return Call(principal=principal, purpose="api")
        return Call(
            principal=principal,
            purpose="api",
            traceparent=self.text(b"traceparent") or None,  # the caller's own span (W3C Trace Context)
            may_cache=self._may_cache,
            deadline_s=self._deadline_s,
        )

    @property
    def _may_cache(self) -> bool:
        """False when the caller wants neither a stored reply nor its reply stored."""
        said = f"{self.text(b'cache-control')},{self.text(b'x-causeway-cache')}".lower()
        return not {"no-store", "no-cache"} & {word.strip() for word in said.split(",")}

    @property
    def _deadline_s(self) -> float | None:
        """The longest the caller will wait.

        Raises:
            InvalidInputError: It is not a number of seconds.
        """
        said = self.text(b"x-causeway-timeout")
        if not said:
            return None
        try:
            deadline_s = float(said)
        except ValueError:
            deadline_s = math.nan
        if not 0 < deadline_s < math.inf:
            raise InvalidInputError(
                f"'x-causeway-timeout' is '{said[:50]}'; send seconds above 0, such as 30"
            )
        return deadline_s
