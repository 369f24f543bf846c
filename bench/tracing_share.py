"""What tracing takes of the gateway's processor time: Causeway with spans and without, in pairs, in one run.

    python -m bench.tracing_share [--starts 6] [--rounds 4] [--seconds 2] > bench/results/tracing_share.md

Needs ``mock_upstream.py`` and ``gwbench.py`` (``--tools``), as `bench.gateway` does, and sends what that sends: plain calls of
1 KB, 16 at once. Three servers run side by side: one as it is delivered; one that keeps what was said, too
(``telemetry.capture_calls``); and one whose recorder has no sinks, so that nothing describes a call, counts it for
Prometheus or stores it (its ids remain: the ledger and the answer's headers have them). Each round loads all three in
turn, in turning order, and waits until the last batch is stored. What counts is the median over the rounds of the difference
within a round, for other work on the machine changes from round to round; and all three are started anew after some rounds, for
where a process has its things in memory makes it some microseconds faster or slower for as long as it lives. PostgreSQL's own
time is told apart.
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
class _Way:
    """What a round took, in microseconds a request; ``starts`` says which start of the servers each round was of."""

    gateway_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Server:
    pid: int
    port: int
    key: str
    folder: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", type=Path, default=ROOT.parent / "shared" / "bench")
    parser.add_argument("--starts", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4, help="between two starts")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--serve", choices=("on", "off"), help="be one of the servers")
    parser.add_argument("--port", help="of the server")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve == "on", arguments.port)
        return
    facts, ways = describe(), {name: _Way() for name in _WAYS}
    for start in range(arguments.starts):
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
                order = list(servers)
                order = order[(number + start) % 3 :] + order[: (number + start) % 3]
                for way in order:
                    _measure(arguments.tools, servers[way], ways[way], arguments.seconds)
                    ways[way].starts.append(start)
    print(page(ways, facts, arguments.rounds))


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


def _measure(tools: Path, server: _Server, way: _Way, seconds: float) -> None:
    gateway, database = _used_s(server.pid), _database_s(server.folder)
    answered = _load(tools, server, seconds)
    time.sleep(_SETTLED_S)
    way.gateway_us.append((_used_s(server.pid) - gateway) / answered * 1e6)
    way.database_us.append((_database_s(server.folder) - database) / answered * 1e6)


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


def page(ways: dict[str, _Way], facts: str, rounds: int) -> str:
    """The results as Markdown."""
    bare = ways["no traces"]
    starts = sorted(set(bare.starts))
    lines = [f"# What tracing takes\n\nMade by `python -m bench.tracing_share`.\n\n{facts}\n"]
    lines.append(
        f"Plain calls of 1 KB, 16 at once, {len(starts)} starts of the servers with {rounds} rounds each, medians of the "
        f"{len(bare.starts)} rounds; in the last column but one of each start's.\n"
    )
    lines.append(
        "| | CPU us/request | least | more than without traces, us | share of the gateway's CPU | of each start, us "
        "| PostgreSQL, us/request |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for name, way in ways.items():
        told = part = by_start = ""
        if way is not bare:
            more = [us - without for us, without in zip(way.gateway_us, bare.gateway_us, strict=True)]
            share = [each / us for each, us in zip(more, way.gateway_us, strict=True)]
            told, part = f"{statistics.median(more):.1f}", f"{statistics.median(share):.1%}"
            of_starts = (
                statistics.median(us for us, start in zip(more, way.starts, strict=True) if start == each)
                for each in starts
            )
            by_start = ", ".join(f"{us:.1f}" for us in sorted(of_starts))
        lines.append(
            f"| {name} | {statistics.median(way.gateway_us):.0f} | {min(way.gateway_us):.0f} | {told} | {part} | {by_start} "
            f"| {statistics.median(way.database_us):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
