from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.gateway.v1_server import KEY, RichGateway, edge_over, serving

GUIDE = Path(__file__).parents[2] / "docs/guide/gateway.md"


def test_the_guides_example_runs_with_both_clients(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0]
    with serving(edge_over(RichGateway())) as address:
        for shown, real in (("http://127.0.0.1:8080", address), ("cw-...", KEY)):
            assert shown in example
            example = example.replace(shown, real)
        exec(compile(example, str(GUIDE), "exec"), {})  # noqa: S102 - our own page
    assert capsys.readouterr().out == "Hello there.\n1.5\nHello there."
