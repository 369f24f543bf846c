"""Serves a site from a thread with an event loop of its own, for browsers and for looking at pages by hand."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import uvicorn

from causeway.storage import embedded_postgres
from causeway.web.app import build_app
from causeway.web.parts import WebParts


class Site(Protocol):
    """What can be served."""

    @property
    def parts(self) -> WebParts:
        """What its pages are made of."""
        ...


SiteT = TypeVar("SiteT", bound=Site)
T = TypeVar("T")


class _ListeningServer(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, listens: threading.Event) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()


@contextmanager
def serving(
    opened: Callable[[], AbstractAsyncContextManager[SiteT]], *, port: int = 0, within_s: float = 60
) -> Iterator[tuple[str, SiteT]]:
    """The address of the site that ``opened`` opens, and the site, once it listens; within ``within_s`` seconds."""
    listens = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with opened() as site:
            config = uvicorn.Config(
                build_app(site.parts), port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
            )
            found.update(site=site, server=_ListeningServer(config, listens))
            await found["server"].serve()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as exc:  # noqa: BLE001 - told in the thread that waits
            found["failure"] = exc
        finally:
            listens.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert listens.wait(within_s)
    if "failure" in found:
        raise found["failure"]
    server: uvicorn.Server = found["server"]
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", found["site"]
    finally:
        server.should_exit = True
        thread.join(20)


def serve_until_stopped(
    served: Callable[[str, Path, int], AbstractContextManager[tuple[str, T]]],
    *,
    port: int,
    key: Callable[[T], str] = lambda _: "",
) -> None:
    """Serve over a PostgreSQL of its own, at the port that the command line names; print the address and the key to it."""
    chosen = int(sys.argv[1]) if len(sys.argv) > 1 else port
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        folder = Path(name)
        server = embedded_postgres.start(folder / "postgres", options={"fsync": "off"})
        try:
            with served(server.url(), folder, chosen) as (address, what):
                sys.stdout.write(f"{address} {key(what)}".rstrip() + "\n")
                sys.stdout.flush()
                threading.Event().wait()
        finally:
            server.close()
