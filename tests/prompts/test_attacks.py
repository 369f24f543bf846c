from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prompts.attacks import ATTACKS, Attack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    """How each attack ended, in a process of its own with 50 MiB of memory and two seconds of processor time."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.prompts.attacks"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["outcome"] for line in lines}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_stopped_within_its_memory(attack: Attack, ended: dict[str, str]) -> None:
    outcome = ended[attack.name]
    if attack.harmless is None:
        assert outcome.startswith("refused: a prompt"), outcome
    else:
        assert outcome == f"rendered {attack.harmless!r}"
    assert "hunter2" not in outcome
