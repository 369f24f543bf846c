from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from causeway.cli.app import cli

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs ``causeway`` with these words on a database of its own."""
    monkeypatch.setenv("CAUSEWAY_DATABASE__URL", database_url)
    monkeypatch.setenv("CAUSEWAY_STORAGE__DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def invoke(*words: str) -> Result:
        done = CliRunner().invoke(cli, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    yield invoke
    root.handlers[:] = handlers
    root.setLevel(level)
