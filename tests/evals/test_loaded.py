"""What a page would load by itself: found however it is written, and not where it is only shown."""

from __future__ import annotations

import pytest

from causeway.evals.loaded import loaded_addresses

ADDRESS = "https://collector.example/p?d=1"


@pytest.mark.parametrize(
    "text",
    [
        f"![a]({ADDRESS})",
        f"![a](<{ADDRESS}>)",
        f"![a][b]\n\n[b]: {ADDRESS}",
        f"[![a]({ADDRESS})](https://elsewhere.example)",
        "![a](//collector.example/p)",
        f'<img src="{ADDRESS}">',
        "text <img alt='a' src=https://collector.example/p> text",
        f'<iframe src="{ADDRESS}"></iframe>',
        f"<div style='background:url({ADDRESS})'>x</div>",
        f"> - ![a]({ADDRESS})",
    ],
)
def test_what_loads_is_found(text: str) -> None:
    assert loaded_addresses(text)


@pytest.mark.parametrize(
    "text",
    [
        f"`![a]({ADDRESS})`",
        f"```\n![a]({ADDRESS})\n```",
        f"[a]({ADDRESS})",
        f"\\!\\[a\\]({ADDRESS})",
        "![a](data:image/png;base64,AAAA)",
        "![a](/static/logo.svg)",
        "(picture removed: a)",
        "",
    ],
)
def test_what_does_not_load_is_not(text: str) -> None:
    assert loaded_addresses(text) == []
