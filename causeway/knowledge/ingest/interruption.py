"""Work that is dropped when nobody wants its outcome any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from causeway.errors import CausewayError

log = logging.getLogger(__name__)


async def while_wanted(
    work: Coroutine[Any, Any, None], is_wanted: Callable[[], Awaitable[bool]], *, every_s: float = 1.0
) -> bool:
    """Run ``work`` to its end; False when it was cancelled because ``is_wanted`` said no.

    The work's own error comes out as itself. When ``is_wanted`` cannot be answered, the work goes on.
    """
    failure: Exception | None = None

    async def run() -> None:
        nonlocal failure
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - raised below, outside the group
            failure = exc
        finally:
            watching.cancel()

    async def watch() -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                if not await is_wanted():
                    working.cancel()
                    return
            except CausewayError as exc:
                log.warning("whether work is still wanted is not known", extra={"reason": exc.message})
            except Exception:  # the work is what counts; the next look may fare better
                log.exception("whether work is still wanted is not known")

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        working = group.create_task(run())
    if failure is not None:
        raise failure
    return not working.cancelled()
