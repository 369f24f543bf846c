"""What machine a measurement was made on, as Markdown lines; every bench script prints them above its numbers."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path


def describe() -> str:
    """A Markdown list: processor, cores, memory, system, Python, how busy it was, date."""
    now = datetime.now(UTC)  # noqa: TID251 - a script: nobody passes it a clock
    lines = {
        "Processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "Cores": str(os.cpu_count()),
        "Memory": _memory(),
        "System": f"{_distribution()}, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Load before": f"{os.getloadavg()[0]:.1f} (processes that want a core, mean of one minute)",
        "Date": f"{now:%Y-%m-%d}",
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


def _field(file: str, name: str) -> str:
    path = Path(file)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _memory() -> str:
    kilobytes = _field("/proc/meminfo", "MemTotal").removesuffix(" kB")
    return f"{int(kilobytes) / 1e6:.0f} GB" if kilobytes else "unknown"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()


def processor_ms(folder: Path) -> float:
    """Processor time of this process and the embedded database in ``folder`` so far, workers that are gone included.

    Other work on the machine hardly changes it.
    """
    ticks_ms = 1000 / os.sysconf("SC_CLK_TCK")
    server = (folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    used = 0.0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if entry.parent.name == server:
            used += sum(map(int, fields[11:15])) * ticks_ms
        elif fields[1] == server:
            used += sum(map(int, fields[11:13])) * ticks_ms
    return used + time.process_time() * 1000


if __name__ == "__main__":
    print(describe())
