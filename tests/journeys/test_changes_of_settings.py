"""Settings change while processes serve: on a page of one, in the file of both, and by a signal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from causeway.settings import child_environment

pytestmark = pytest.mark.timeout(180)

SETTINGS = """
[models]
chat = "words/chat"
fast = "words/chat"
embed = "words/embed"
rerank = ""
[providers.words]
kind = "scripted"
[tiers.free]
priority = {priority}
"""


@dataclass
class Serving:
    """A running ``causeway serve``."""

    process: subprocess.Popen[str]
    address: str
    key: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    @property
    def priority(self) -> int:
        tiers = self.ask("GET", "/api/admin/tiers")["tiers"]
        return int(next(tier["values"]["priority"] for tier in tiers if tier["name"] == "free"))

    def comes_to(self, priority: int) -> None:
        """Ask until the tier is so; what hangs is ended by the test's own time."""
        while self.priority != priority:
            continue


@contextmanager
def serving(file: Path, database_url: str, folder: Path, key: str = "") -> Iterator[Serving]:
    environment = {
        **child_environment(),
        "CAUSEWAY_CONFIG": str(file),
        "CAUSEWAY_DATABASE__URL": database_url.replace("+psycopg", ""),
        "CAUSEWAY_STORAGE__DIR": str(folder),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "causeway", "serve", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl+C" in line:
                break
        address, made = re.search(r"http://\S+", said), re.search(r"cw-\S+", said)
        assert address, said
        yield Serving(process, address[0], made[0] if made else key)
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def test_every_process_follows_a_page_a_file_and_a_signal(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "causeway.toml"
    file.write_text(SETTINGS.format(priority=1))
    with (
        serving(file, database_url, tmp_path / "one") as one,
        serving(file, database_url, tmp_path / "two", one.key) as two,
    ):
        one.ask("PUT", "/api/admin/tiers/free", {"priority": 7})
        assert one.priority == 7
        two.comes_to(7)
        two.ask("DELETE", "/api/admin/tiers/free")
        one.comes_to(1)
        file.write_text(SETTINGS.format(priority=4))
        one.process.send_signal(signal.SIGHUP)
        one.comes_to(4)
        two.comes_to(4)
        file.write_text("[tiers.free]\npriority = 99\n")
        two.process.send_signal(signal.SIGHUP)
        while two.ask("GET", "/api/admin/settings")["problem"] is None:
            continue
        assert (one.priority, two.priority) == (4, 4)
        said = two.ask(
            "POST", "/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
        )
        assert said["choices"][0]["message"]["content"] == "hi"
