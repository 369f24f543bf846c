from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from click.testing import Result

from causeway.errors import InvalidInputError, NotFoundError

Run = Callable[..., Result]


class Hook(BaseHTTPRequestHandler):
    """Keeps the JSON that it is told."""

    told: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the channel 'operations', a webhook on this machine, was told."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    Hook.told = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "KIND": "webhook",
        "URL": f"http://127.0.0.1:{server.server_port}/hook",
        "ALLOW_NETWORKS": '["127.0.0.0/8"]',
    }.items():
        monkeypatch.setenv(f"CAUSEWAY_ALERTS__CHANNELS__OPERATIONS__{name}", value)
    yield Hook.told
    server.shutdown()
    server.server_close()
    thread.join()


def _listed(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("alerts", "list", "--json").stdout)["alerts"]
    return found


def test_an_alert_is_added_listed_changed_tested_and_removed(run: Run, told: list[Any]) -> None:
    made = run(
        *("alerts", "add", "Errors", "--metric", "error_rate", "--above", "5%", "--window", "30m"),
        *("--min-count", "3", "--cooldown", "2h", "--filter", "model=large", "--channel", "operations"),
    )
    assert "error rate above 5.0% over 30 minutes, model large; tells operations" in made.stderr
    (rule,) = _listed(run)
    assert rule["id"] == made.stdout.strip()
    assert (rule["threshold"], rule["is_above"], rule["window_s"]) == (0.05, True, 1_800)
    assert (rule["min_count"], rule["cooldown_s"], rule["filters"]) == (3, 7_200, {"model": "large"})
    assert (rule["state"], rule["created_by"]) == ("waiting", "command_line")

    run("alerts", "edit", "Errors", "--name", "Failures", "--above", "0.1", "--all-requests")
    (changed,) = _listed(run)
    assert (changed["name"], changed["threshold"], changed["filters"]) == ("Failures", 0.1, {})
    assert (changed["window_s"], changed["channels"]) == (1_800, ["operations"])

    tested = run("alerts", "test", "Failures")
    assert (tested.stdout, tested.exit_code) == ("operations: taken\n", 0)
    assert told[0]["event"] == "test"

    run("alerts", "edit", rule["id"], "--off", "--no-channels")
    shown = run("alerts", "list")
    assert "off" in shown.stdout
    assert "tells nobody" in shown.stdout
    assert "channels: operations" in shown.stderr
    assert run("alerts", "test", "Failures").exit_code == 1
    assert json.loads(run("alerts", "history", "--json").stdout) == {"firings": []}
    run("alerts", "remove", "Failures")
    assert _listed(run) == []


def test_a_channel_that_takes_nothing_fails_the_test(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSEWAY_ALERTS__CHANNELS__PAGER__KIND", "webhook")
    monkeypatch.setenv("CAUSEWAY_ALERTS__CHANNELS__PAGER__URL", "http://127.0.0.1:9/hook")
    run("alerts", "add", "Dear", "--metric", "cost_usd", "--above", "$20", "--channel", "pager")
    tested = run("alerts", "test", "Dear", "--json")
    assert tested.exit_code == 1
    assert json.loads(tested.stdout)["channels"]["pager"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--above", "much"), "no number"),
        (("--above", "5%", "--window", "soon"), "no time"),
        (("--above", "5%", "--filter", "large"), "no filter"),
        (("--above", "5%", "--below", "1%"), "one side"),
        ((), "--above or --below"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run("alerts", "add", "Errors", "--metric", "error_rate", *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_what_cannot_be_watched_says_what_can(run: Run) -> None:
    with pytest.raises(InvalidInputError, match="latency_p95_ms"):
        run("alerts", "add", "Mood", "--metric", "mood", "--above", "1")
    with pytest.raises(InvalidInputError, match=r"alerts\.channels\.pager"):
        run("alerts", "add", "Errors", "--metric", "error_rate", "--above", "5%", "--channel", "pager")
    with pytest.raises(NotFoundError, match="causeway alerts list"):
        run("alerts", "history", "Errors")
