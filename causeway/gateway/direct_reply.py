"""What Causeway's own HTTP server offers the gateway's door beyond ASGI, for the calls that are short and many.

ASGI hands over a body by a call that waits, an answer in two messages whose headers are checked one by one, and a
client's leaving only to who asks for it. For a call of a few hundred microseconds that is a tenth of it
(``bench/results/gateway.md``). Under any other server the door works by ASGI alone.
"""

from __future__ import annotations

from typing import Any


class DirectReply:
    """One request, as the server of this process holds it; what `causeway.web.bounded_http` is for `EdgePath`."""

    stops_on_leave = False
    """Whether the task that answers is cancelled when the client goes away, as far as it has not been answered."""
    _has_left = False

    @property
    def stopped(self) -> bool:
        """Whether that was done, and nobody else wants the task to end."""
        raise NotImplementedError

    @property
    def is_full(self) -> bool:
        """Whether the client has not read what it was sent, so that `drained` is to be awaited before more."""
        raise NotImplementedError

    async def drained(self) -> None:
        """Wait until it has, or has left."""
        raise NotImplementedError

    def take_body(self) -> bytes | None:
        """The request's body; None when it has not come as a whole, and is to be had by ASGI."""
        raise NotImplementedError

    def reply(self, status: int, head: bytes, body: bytes) -> None:
        """Send a whole answer, in one piece; nothing happens when the client has left.

        Args:
            status: The status.
            head: Its headers as lines, ``content-length`` among them; the caller answers for what is in them.
            body: The body.
        """
        raise NotImplementedError


def direct_reply(send: Any) -> DirectReply | None:
    """The request of this ``send``, when it is of our own server."""
    server = getattr(send, "__self__", None)
    return server if isinstance(server, DirectReply) else None
