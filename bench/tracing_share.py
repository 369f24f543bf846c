"""What tracing takes of the gateway's processor time: Causeway with spans and without, in pairs, in one run.

    python -m bench.tracing_share [--rounds 12] [--seconds 2] > bench/results/tracing_share.md

Needs ``mock_upstream.py`` and ``gwbench.py`` (``--tools``), as `bench.gateway` does, and sends what that sends: plain calls of
1 KB, 16 at once. Three servers run side by side: one as it is delivered; one that keeps what was said, too
(``telemetry.capture_calls``); and one whose recorder has no sinks, so that nothing describes a call, counts it for
Prometheus or stores it (its ids remain: the ledger and the answer's headers have them). Each round loads all three in
turn, in turning order, and waits until the last batch is stored. What counts is the median over the rounds of the difference
within a round, for other work on the machine changes from round to round. PostgreSQL's own time is told apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateway import SETTINGS, free_port, running, wait_for
from bench.machine import describe
from causeway.cli.app import main as causeway
from causeway.observability import telemetry
from causeway.observability.spans import Spans
from causeway.settings import child_environment

ROOT = Path(__file__).resolve().parents[1]
_SETTLED_S = 2.5
"""Spans are stored every second and the ledger as often: what a load left behind is done by then."""
_WAYS = {
    "no traces": ("off", "false"),
    "traces (as delivered)": ("on", "false"),
    "traces with what was said": ("on", "true"),
}


@dataclass(slots=True)
class _Server:
    pid: int
    port: int
    key: str
    folder: Path
    gateway_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", type=Path, default=ROOT.parent / "shared" / "bench")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--serve", choices=("on", "off"), help="be one of the servers")
    parser.add_argument("--port", help="of the server")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve == "on", arguments.port)
        return
    facts = describe()
    with tempfile.TemporaryDirectory(prefix="causeway-") as name, contextlib.ExitStack() as stack:
        upstream = free_port()
        mock = [sys.executable, str(arguments.tools / "mock_upstream.py"), "--port", str(upstream)]
        stack.enter_context(running(mock, core=1, log=Path(name) / "mock.log"))
        servers = {
            way: stack.enter_context(_serving(Path(name), spans, content, upstream))
            for way, (spans, content) in _WAYS.items()
        }
        for server in servers.values():
            _load(arguments.tools, server, 2)
        for number in range(arguments.rounds):
            order = list(servers.values())
            order = order[number % 3 :] + order[: number % 3]
            for server in order:
                _measure(arguments.tools, server, arguments.seconds)
    print(page(servers, facts, arguments.rounds))


def serve(has_spans: bool, port: str) -> None:
    """Be Causeway, with a recorder that has sinks or none."""
    if not has_spans:
        vars(telemetry)["LoneCalls"] = lambda *_: None
        vars(telemetry)["Spans"] = lambda *_sinks, clock, **_calls: Spans(clock=clock)
    sys.argv = ["causeway", "serve", "--port", port]
    causeway()


@contextlib.contextmanager
def _serving(parent: Path, spans: str, content: str, upstream: int) -> Iterator[_Server]:
    folder, port = parent / f"{spans}-{content}", free_port()
    folder.mkdir()
    config = folder / "causeway.toml"
    written = SETTINGS.format(port=port, folder=folder / "data", upstream=f"http://127.0.0.1:{upstream}")
    config.write_text(f"{written}[telemetry]\ncapture_calls = {content}\n")
    environment = child_environment(CAUSEWAY_CONFIG=str(config))
    create = [sys.executable, "-m", "causeway", "keys", "create", "bench", "--tier", "bench", "--json"]
    made = subprocess.run(create, env=environment, check=True, capture_output=True, text=True, cwd=ROOT)
    key = json.loads(made.stdout)["key"]
    command = [sys.executable, "-m", "bench.tracing_share", "--serve", spans, "--port", str(port)]
    with running(command, core=0, log=folder / "log", environment=environment) as process:
        called = f"http://127.0.0.1:{port}/v1/chat/completions"
        wait_for(called, {"authorization": f"Bearer {key}"}, model="upstream/mock", log=folder / "log")
        yield _Server(process.pid, port, key, folder)


def _measure(tools: Path, server: _Server, seconds: float) -> None:
    gateway, database = _used_s(server.pid), _database_s(server.folder)
    answered = _load(tools, server, seconds)
    time.sleep(_SETTLED_S)
    server.gateway_us.append((_used_s(server.pid) - gateway) / answered * 1e6)
    server.database_us.append((_database_s(server.folder) - database) / answered * 1e6)


def _load(tools: Path, server: _Server, seconds: float) -> int:
    """Send plain calls, 16 at once; how many were answered."""
    command = ["taskset", "-c", "1", sys.executable, str(tools / "gwbench.py"), "--warmup", "0"]
    command += [
        "--url",
        f"http://127.0.0.1:{server.port}/v1",
        "--key",
        server.key,
        "--model",
        "upstream/mock",
    ]
    command += ["--scenarios", "plain:16", "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    row = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    if row["errors"]:
        raise SystemExit(f"calls failed: {row}")
    return int(row["ok"])


def _used_s(pid: int) -> float:
    """Processor time of a process, to the nanosecond, threads included."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _database_s(folder: Path) -> float:
    """Processor time of the server in ``folder`` and its children."""
    server = (folder / "data" / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
    ticks = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if entry.parent.name == server:
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == server:
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def page(servers: dict[str, _Server], facts: str, rounds: int) -> str:
    """The results as Markdown."""
    bare = servers["no traces"]
    lines = [f"# What tracing takes\n\nMade by `python -m bench.tracing_share`.\n\n{facts}\n"]
    lines.append(f"Plain calls of 1 KB, 16 at once, {rounds} rounds, medians.\n")
    lines.append(
        "| | CPU us/request | least | more than without traces, us | share of the gateway's CPU | PostgreSQL, us/request |\n"
        "|---|---:|---:|---:|---:|---:|"
    )
    for way, server in servers.items():
        more = [us - without for us, without in zip(server.gateway_us, bare.gateway_us, strict=True)]
        share = [each / us for each, us in zip(more, server.gateway_us, strict=True)]
        told = "" if server is bare else f"{statistics.median(more):.1f}"
        part = "" if server is bare else f"{statistics.median(share):.1%}"
        lines.append(
            f"| {way} | {statistics.median(server.gateway_us):.0f} | {min(server.gateway_us):.0f} | {told} | {part} "
            f"| {statistics.median(server.database_us):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
