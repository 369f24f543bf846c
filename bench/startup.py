"""How long a warm start takes, how fast the command line answers, and what an idle Causeway weighs.

    python bench/startup.py [--runs 5] > bench/results/startup.md

Uses the data folder of the settings, which must have been started once before (so it is a second start), on a free
port. Memory is the proportional set size (PSS) after ten idle seconds: shared pages count once among their users.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from bench.machine import describe

CAUSEWAY = str(Path(sys.executable).with_name("causeway"))


def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    helps = sorted(_time_help() for _ in range(runs))
    starts: list[float] = []
    memory: dict[str, int] = {}
    for _ in range(runs):
        seconds, memory = _time_start()
        starts.append(seconds)
    print("# Start and idle weight\n")
    print(describe())
    print(f"\nMade by `bench/startup.py --runs {runs}`.\n")
    print("| what | min | median | max | bar |\n|---|---|---|---|---|")
    print(f"| `causeway --help`, s | {_spread(helps)} | 0.4 |")
    print(f"| warm `causeway up --demo` to the first answered `/health/ready`, s | {_spread(starts)} | 6 |")
    print("\n| idle process | PSS, MB | bar |\n|---|---|---|")
    for name, size in memory.items():
        print(f"| {name} | {size / 1e6:.0f} | {350 if name.startswith('Causeway') else '-'} |")


def _spread(seconds: list[float]) -> str:
    return f"{min(seconds):.2f} | {statistics.median(seconds):.2f} | {max(seconds):.2f}"


def _time_help() -> float:
    started = time.perf_counter()
    subprocess.run([CAUSEWAY, "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def _time_start() -> tuple[float, dict[str, int]]:
    started = time.perf_counter()
    process = subprocess.Popen([CAUSEWAY, "up", "--demo", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        _wait_ready(address, deadline=started + 120)
        seconds = time.perf_counter() - started
        time.sleep(10)
        return seconds, _weigh(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_ready(address: str, deadline: float) -> None:
    while time.perf_counter() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:
                json.load(answer)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    msg = "not ready in time"
    raise SystemExit(msg)


def _weigh(pid: int) -> dict[str, int]:
    """PSS by kind of process."""
    causeway = psutil.Process(pid)
    weights = {"Causeway (the process that serves, models not counted)": causeway.memory_full_info().pss}
    for child in causeway.children(recursive=True):
        kind = "model server" if "llama" in " ".join(child.cmdline()) else "Causeway (helper processes)"
        weights[kind] = weights.get(kind, 0) + child.memory_full_info().pss
    postgres = [p for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres"]
    weights["PostgreSQL"] = sum(p.memory_full_info().pss for p in postgres)
    return weights


if __name__ == "__main__":
    if shutil.which(CAUSEWAY) is None:
        msg = "install Causeway first: make up"
        raise SystemExit(msg)
    main()
