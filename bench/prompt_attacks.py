"""What hostile templates and values cost until they are stopped, each in a process of its own.

    python -m bench.prompt_attacks > bench/results/prompt_attacks.md

Seconds are the processor's: other work on the machine makes an attack no slower. The memory is what the process took above
what it had before, at its peak. `tests.prompts.attacks` has the attacks, and limits each process to 50 MiB more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

from bench.machine import describe
from tests.prompts.attacks import ATTACKS, MEMORY_BYTES

MOST_S = 0.3
MOST_MB = 50
ROUNDS = 3
_KINDS = {
    "leak": "Attributes, methods, files",
    "cpu": "Time",
    "memory": "Memory",
    "parser": "The parser",
    "value": "Values",
}


def main() -> None:
    """Render every attack a few times, and print the worst of each."""
    found = defaultdict(list)
    for _ in range(ROUNDS):
        for line in _round():
            found[line["name"]].append(line)
    worst = [max(found[attack.name], key=lambda line: (line["worked_s"], line["mb"])) for attack in ATTACKS]
    mb = {name: max(line["mb"] for line in lines) for name, lines in found.items()}
    print(f"# Attacks on prompts\n\nMade by `python -m bench.prompt_attacks`.\n\n{describe()}\n")
    print(
        f"{len(ATTACKS)} attacks, {ROUNDS} rounds, the worst of each; a process may take {MEMORY_BYTES // 1024 // 1024} MiB more "
        "than it had. The bar is 0.3 s and 50 MB.\n"
    )
    stopped = sum(line["worked_s"] <= MOST_S and mb[line["name"]] <= MOST_MB for line in worst)
    slowest, largest = max(worst, key=lambda line: line["worked_s"]), max(mb, key=lambda name: mb[name])
    print("| | |\n|---|---:|")
    print(f"| stopped within the bar | {stopped} of {len(worst)} |")
    print(f"| slowest: {slowest['name']} | {slowest['worked_s'] * 1000:.1f} ms |")
    print(f"| largest: {largest} | {mb[largest]:.1f} MB |")
    for kind, title in _KINDS.items():
        print(f"\n## {title}\n\n| attack | ms | MB | how it ended |\n|---|---:|---:|---|")
        for line in worst:
            if line["kind"] == kind:
                said = line["outcome"].removeprefix("refused: ").replace("|", "\\|")
                print(
                    f"| {line['name']} | {line['worked_s'] * 1000:.1f} | {mb[line['name']]:.1f} | {said[:110]} |"
                )


def _round() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.prompts.attacks"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
