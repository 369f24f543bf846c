"""The gateway beside its peers, one after the other in one run: CPU per request, latency, streams, memory, start.

    python -m bench.gateway [--litellm PATH/bin/litellm] [--portkey PATH/start-server.js] [--seconds 5] [--soak 200000]

Needs ``mock_upstream.py`` and ``gwbench.py`` (``--tools``, by default ``../shared/bench``). Every gateway has one core; the
load generator and the mock provider share another. Causeway checks the key, counts requests and tokens, reserves a
budget, screens for personal data, writes the ledger and a trace; its cache is off, for every request is the same. LiteLLM
runs without its database, Portkey as ``npx @portkey-ai/gateway`` starts it. Processor time is of the gateway's own process
and its children; Causeway's PostgreSQL is told apart.

Give every gateway a core that is free. Node compiles what has run often: Portkey took 650 microseconds a request after ten
thousand of them, and 3,400 on a busy machine that let through two hundred. Its streams work with ``@hono/node-server`` up
to 1.14.1 (https://github.com/Portkey-AI/gateway/issues/1389), which npm does not choose by itself: name it in ``overrides``.

Writes bench/results/gateway.md and docs/charts/gateway.svg.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.gateway_chart import draw
from bench.machine import describe
from causeway.settings import child_environment

ROOT = Path(__file__).resolve().parents[1]
CAUSEWAY = str(Path(sys.executable).with_name("causeway"))
SCENARIOS = "plain:1,plain:16,plain:64,stream:1,stream:16"
_READY_S = 120.0
_WARM_UP_S = 5

SETTINGS = """
[server]
port = {port}
[storage]
dir = "{folder}"
[providers.upstream]
base_url = "{upstream}/v1"
models = ["mock"]
[providers.upstream.prices.mock]
input = "0.15"
output = "0.60"
[tiers.bench]
requests_per_minute = 1000000000
tokens_per_minute = 1000000000000
concurrent_requests = 10000
key_budget_usd_per_day = 1000000
key_budget_usd_per_month = 10000000
budget_usd_per_month = 10000000
pii = "mask"
injection = "log"
cache = "off"
"""
_LITELLM = """
model_list:
  - model_name: mock
    litellm_params: {{model: openai/mock, api_base: "{upstream}/v1", api_key: sk-none}}
general_settings: {{master_key: sk-bench}}
litellm_settings: {{telemetry: false}}
"""


@dataclass(slots=True)
class Measured:
    """What was measured of one gateway."""

    name: str
    start_s: float | None = None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    database_us: float | None = None
    soak: list[tuple[int, float]] = field(default_factory=list)

    def shown(self, scenario: str, figure: str, *, beyond: Measured | None = None) -> str:
        """A figure, or what it is beyond another's; ``fails`` where no request succeeded."""
        row = self.rows[scenario]
        if not row["ok"]:
            return "fails"
        if beyond is not None:
            return f"{row[figure] - beyond.rows[scenario][figure]:.2f}"
        return f"{row[figure]:.0f}"


@dataclass(frozen=True, slots=True)
class Peer:
    """How to start a gateway, and how to call it."""

    name: str
    command: Sequence[str]
    port: int
    key: str = "sk-none"
    model: str = "mock"
    headers: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=child_environment)

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}/v1"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", type=Path, default=ROOT.parent / "shared" / "bench")
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--portkey", type=Path)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument(
        "--soak", type=int, default=0, help="requests after which memory is read, tenth by tenth"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "gateway.md")
    arguments = parser.parse_args()
    facts = "\n".join([describe(), *_versions(arguments.litellm, arguments.portkey)])
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        bench = Bench(Path(name), arguments.tools, arguments.seconds)
        with bench.mock():
            measured = [bench.direct(), bench.passthrough(), bench.causeway(arguments.soak)]
            if arguments.litellm:
                measured.append(bench.litellm(arguments.litellm))
            if arguments.portkey:
                measured.append(bench.portkey(arguments.portkey))
    arguments.out.write_text(page(measured, facts, arguments.seconds))
    if arguments.litellm and arguments.portkey:
        (ROOT / "docs" / "charts").mkdir(exist_ok=True)
        (ROOT / "docs" / "charts" / "gateway.svg").write_text(
            draw({one.name: one.rows["plain:16"]["gw_cpu_us_per_req"] for one in measured[1:]})
        )


class Bench:
    """Starts gateways and sends load through them."""

    def __init__(self, folder: Path, tools: Path, seconds: float) -> None:
        self._folder = folder
        self._tools = tools
        self._seconds = seconds
        self._port = free_port()
        self.upstream = f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def mock(self) -> Iterator[None]:
        """The provider, on the load's core."""
        command = [sys.executable, str(self._tools / "mock_upstream.py"), "--port", str(self._port)]
        with running(command, core=1, log=self._folder / "mock.log"):
            wait_for(f"{self.upstream}/v1/models", {})
            yield

    def direct(self) -> Measured:
        """The provider itself."""
        rows = self._load(Peer("direct", (), self._port), SCENARIOS, self._seconds, None)
        return Measured("direct", rows=rows)

    def passthrough(self) -> Measured:
        """uvicorn and aiohttp alone."""
        port = free_port()
        command = (
            sys.executable,
            "-m",
            "bench.passthrough",
            "--port",
            str(port),
            "--upstream",
            self.upstream,
        )
        return self._measure(Peer("bare uvicorn + aiohttp", command, port))

    def causeway(self, soak: int) -> Measured:
        """Causeway with every step on."""
        port, folder = free_port(), self._folder / "causeway"
        folder.mkdir()
        config = folder / "causeway.toml"
        config.write_text(SETTINGS.format(port=port, folder=folder / "data", upstream=self.upstream))
        environment = child_environment(CAUSEWAY_CONFIG=str(config))
        create = [CAUSEWAY, "keys", "create", "bench", "--tier", "bench", "--json"]
        made = subprocess.run(create, env=environment, check=True, capture_output=True, text=True)
        key = json.loads(made.stdout)["key"]
        command = (CAUSEWAY, "serve", "--port", str(port))
        peer = Peer("Causeway", command, port, key=key, model="upstream/mock", environment=environment)
        return self._measure(peer, soak=soak)

    def litellm(self, program: Path) -> Measured:
        """LiteLLM's proxy, without its database."""
        port, config = free_port(), self._folder / "litellm.yaml"
        config.write_text(_LITELLM.format(upstream=self.upstream))
        command = (str(program), "--config", str(config), "--port", str(port), "--num_workers", "1")
        return self._measure(Peer("LiteLLM", command, port, key="sk-bench"))

    def portkey(self, script: Path) -> Measured:
        """Portkey's gateway on Node."""
        port = free_port()
        headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {self.upstream}/v1")
        command = ("node", str(script), f"--port={port}")
        return self._measure(Peer("Portkey", command, port, headers=headers))

    def _measure(self, peer: Peer, *, soak: int = 0) -> Measured:
        measured = Measured(peer.name)
        log = self._folder / f"{peer.name.split()[0]}.log"
        begun = time.perf_counter()
        with running(peer.command, core=0, log=log, environment=peer.environment) as process:
            sent = {"authorization": f"Bearer {peer.key}"}
            sent |= dict(header.split(": ", 1) for header in peer.headers)
            wait_for(f"{peer.url}/chat/completions", sent, model=peer.model, log=log)
            measured.start_s = time.perf_counter() - begun
            before = _postgres_seconds()
            measured.rows = self._load(peer, SCENARIOS, self._seconds, process.pid)
            answered = sum(row["ok"] for row in measured.rows.values())
            measured.database_us = (_postgres_seconds() - before) / max(1, answered) * 1e6
            while soak and (not measured.soak or measured.soak[-1][0] < soak):
                row = self._load(peer, "plain:32", 10.0, None)["plain:32"]
                if not row["ok"]:
                    raise SystemExit(f"the soak stopped: {row}")
                done = row["ok"] + (measured.soak[-1][0] if measured.soak else 0)
                measured.soak.append((done, psutil.Process(process.pid).memory_info().rss / 1e6))
        return measured

    def _load(self, peer: Peer, scenarios: str, seconds: float, pid: int | None) -> dict[str, dict[str, Any]]:
        """What gwbench measures, by scenario."""
        command = ["taskset", "-c", "1", sys.executable, str(self._tools / "gwbench.py"), "--url", peer.url]
        command += ["--key", peer.key, "--model", peer.model, "--scenarios", scenarios]
        command += ["--seconds", str(seconds), "--warmup", str(_WARM_UP_S)]
        for header in peer.headers:
            command += ["--header", header]
        if pid is not None:
            command += ["--pid", str(pid)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return {row["scenario"]: row for row in rows}


def _versions(litellm: Path | None, portkey: Path | None) -> list[str]:
    """Which peers these are, as lines of a list."""
    lines = []
    if litellm:
        asked = "import importlib.metadata as m, platform as p; print(m.version('litellm'), 'on Python', p.python_version())"
        lines.append(f"- LiteLLM: {_said(str(litellm.parent / 'python'), '-c', asked)}")
    if portkey:
        package = portkey.parents[1]
        version, server = (
            json.loads((folder / "package.json").read_text())["version"]
            for folder in (package, package.parents[1] / "@hono" / "node-server")
        )
        lines.append(f"- Portkey: {version} on Node {_said('node', '--version')}, @hono/node-server {server}")
    return lines


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


# --- the page ----------------------------------------------------------------------------------------


def page(measured: Sequence[Measured], facts: str, seconds: float) -> str:
    """The results as Markdown."""
    direct, gateways = measured[0], measured[1:]
    lines = [
        "# The gateway and its peers\n",
        "Made by `python -m bench.gateway`; its docstring says how.\n",
        facts,
    ]
    lines.append(f"\nBodies of 1 KB, {seconds:g} s a scenario, one core for the gateway.\n")
    lines.append("## Plain calls\n")
    lines.append(
        "| | start s | CPU us/request at 1 | at 16 | at 64 | requests/s at 16 | p50 added at 1, ms | peak RSS MB |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    for one in gateways:
        cpu = [one.shown(f"plain:{n}", "gw_cpu_us_per_req") for n in (1, 16, 64)]
        rate, added = one.shown("plain:16", "rps"), one.shown("plain:1", "ms_p50", beyond=direct)
        weight = one.shown("plain:64", "gw_rss_mb")
        lines.append(f"| {one.name} | {one.start_s:.1f} | {' | '.join(cpu)} | {rate} | {added} | {weight} |")
    lines.append("\n## Streams, 64 events 5 ms apart\n")
    lines.append(
        "| | CPU us/stream at 16 | first token later than direct, p50 ms, at 1 | at 16 |\n|---|---:|---:|---:|"
    )
    for one in gateways:
        later = [one.shown(f"stream:{n}", "ttft_ms_p50", beyond=direct) for n in (1, 16)]
        lines.append(f"| {one.name} | {one.shown('stream:16', 'gw_cpu_us_per_req')} | {' | '.join(later)} |")
    lines += _ratios(measured)
    failed = {one.name: sum(row["errors"] for row in one.rows.values()) for one in measured}
    lines.append(f"\nFailed requests: {', '.join(f'{name} {count}' for name, count in failed.items())}.")
    return "\n".join(lines) + "\n"


def _ratios(measured: Sequence[Measured]) -> list[str]:
    ours = next(one for one in measured if one.name == "Causeway")
    lines = ["\n## Causeway's share\n", "| CPU per request of | at 16 | at 64 |\n|---|---:|---:|"]
    for one in measured[1:]:
        if one is not ours:
            shares = [
                f"{one.rows[f'plain:{n}']['gw_cpu_us_per_req'] / ours.rows[f'plain:{n}']['gw_cpu_us_per_req']:.2f}x"
                for n in (16, 64)
            ]
            lines.append(f"| {one.name} | {' | '.join(shares)} |")
    if ours.database_us is not None:
        lines.append(
            f"\nPostgreSQL, which keeps the ledger and the traces: {ours.database_us:.0f} us a request beside it."
        )
    if ours.soak:
        lines.append("\nMemory of Causeway's process while it answers:\n\n| requests | RSS MB |\n|---:|---:|")
        every = max(1, len(ours.soak) // 10)
        lines += [f"| {count} | {size:.0f} |" for count, size in ours.soak[::every]]
    return lines


# --- processes ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(
    command: Sequence[str], *, core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """``command`` on one core, in a session of its own, stopped at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env=environment or child_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=ROOT,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, headers: dict[str, str], *, model: str | None = None, log: Path | None = None) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    asked = urllib.request.Request(
        url,
        data=json.dumps(body).encode() if model else None,
        headers={"content-type": "application/json", **headers},
    )
    deadline = time.perf_counter() + _READY_S
    while time.perf_counter() < deadline:
        try:
            with urllib.request.urlopen(asked, timeout=10):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(f"{url} did not answer: {log.read_text()[-2000:] if log else ''}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _postgres_seconds() -> float:
    total = 0.0
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
