from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "guard.md"


def test_the_guides_example_prints_what_it_says() -> None:
    source, printed = re.findall(
        r"```(?:python|text)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    )[:2]
    ran = subprocess.run(
        [sys.executable, "-c", source], cwd=GUIDE.parents[2], capture_output=True, text=True, check=True
    )
    assert ran.stdout == printed
