"""Stops work when its client goes away, and shows a waiting client that the connection lives.

A proxy that never looks at ``receive()`` again keeps a model writing for nobody. Most calls end before a watch of
their own would pay (``bench/results/edge_path.md``), so the watch begins once a call has lasted a moment: a client that left
before is noticed then. Our own server stops the work by itself, and there is nothing to watch (`DirectReply.stops_on_leave`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from causeway.errors import CausewayError
from causeway.gateway.request_body import ClientGoneError, Receive

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
"""Proxies close a connection that is silent for 30 to 60 s."""
_WATCH_AFTER_S = 0.1


async def while_present(
    work: Awaitable[None],
    receive: Receive,
    *,
    beat: Callable[[], Awaitable[None]],
    beat_every_s: float,
) -> None:
    """Do ``work``; cancel it within 200 ms of the client's leaving.

    Args:
        work: Answers the call.
        receive: ASGI's, once the body has been read: all that can come of it is the disconnect.
        beat: Shows the client that the connection lives.
        beat_every_s: How often ``beat`` is called until the work is done.
    """
    failures: list[CausewayError] = []
    try:
        async with asyncio.TaskGroup() as group:
            watch = _Watch(group, receive, beat, beat_every_s)
            try:
                await work
            except CausewayError as exc:  # kept out of the group, which would wrap it
                failures.append(exc)
            finally:
                watch.end()
    except* ClientGoneError:
        log.debug("client went away")
    if failures:
        raise failures[0]


class _Watch:
    """Raises `ClientGoneError` in its group when the client leaves."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        receive: Receive,
        beat: Callable[[], Awaitable[None]],
        beat_every_s: float,
    ) -> None:
        self._group = group
        self._receive = receive
        self._beat = beat
        self._beat_every_s = beat_every_s
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._begin)

    def end(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = self._group.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._beat_every_s):
                    while (await self._receive())["type"] != "http.disconnect":
                        pass
            except TimeoutError:
                await self._beat()
            else:
                raise ClientGoneError
