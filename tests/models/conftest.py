"""Real model files for slow tests, and servers on the loopback for the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from causeway.models.catalog import Catalog, ModelCard
from causeway.models.model_folder import is_pulled, model_folder
from causeway.settings import load

Serve = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """``await serve(application)`` is the address of a server on a free port of the loopback."""
    runners = []

    async def start(application: web.Application) -> str:
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture(scope="session")
def pulled() -> Callable[[str], tuple[ModelCard, Path]]:
    """A model of the catalogue and the folder with its files, which are fetched first: by a child process,
    because tests reach nothing but the loopback."""

    def fetch(model: str) -> tuple[ModelCard, Path]:
        card, models_dir = Catalog.load().get(model), load().storage.models_dir
        if not is_pulled(card, models_dir):
            subprocess.run(
                [sys.executable, "-m", "causeway", "models", "pull", model], check=True, timeout=600
            )
        return card, model_folder(card, models_dir)

    return fetch
