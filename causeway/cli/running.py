"""Runs a command's coroutine over an open platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from causeway.settings import Settings
    from causeway.wiring import Platform

T = TypeVar("T")


def run(work: Awaitable[T]) -> T:
    """Run ``work`` to its end on a fresh event loop, and turn a lone error of a task group into itself."""
    import asyncio

    import uvloop

    from causeway.errors import CausewayError

    async def entry() -> T:
        return await work

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(entry())
    except BaseExceptionGroup as group:
        known = _first(group, CausewayError)
        if known is not None:
            raise known from group
        raise


def with_platform(work: Callable[[Platform], Awaitable[T]], *, works: bool = False, models: bool = True) -> T:
    """Open the platform for one command.

    Args:
        work: The command.
        works: It may do background work when no other process does.
        models: It needs the local models, so they are fetched first.
    """
    from causeway.cli.progress import pull_missing
    from causeway.wiring import Work, open_platform

    settings = load_settings()

    async def opened() -> T:
        if models:
            await pull_missing(settings)
        async with open_platform(settings, work=Work.IF_FREE if works else Work.NEVER) as platform:
            return await work(platform)

    return run(opened())


def load_settings() -> Settings:
    """The settings, with logging set up for a command line."""
    from causeway import settings as configuration
    from causeway.observability import logs

    settings = configuration.load()
    logs.configure(settings.telemetry, quiet=True)
    return settings


def _first(group: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first error of ``kind`` anywhere in ``group``."""
    if isinstance(group, kind):
        return group
    if isinstance(group, BaseExceptionGroup):
        for inner in group.exceptions:
            found = _first(inner, kind)
            if found is not None:
                return found
    return None
