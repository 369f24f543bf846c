"""Draws bench/gateway.py's bars: processor time per request, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 760, 44, 190, 110, 60
_LEAST = 10.0


def draw(microseconds: Mapping[str, float]) -> str:
    """An SVG of one bar a gateway, shortest first; light and dark."""
    ordered = sorted(microseconds.items(), key=lambda item: item[1])
    most = 10 ** math.ceil(math.log10(max(microseconds.values())))
    height = _TOP + _ROW * len(ordered) + 30
    scale = (_WIDTH - _LEFT - _RIGHT) / math.log10(most / _LEAST)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        ' aria-label="Processor time per request of several gateways"'
        ' font-family="Inter, system-ui, sans-serif" font-size="14">',
        "<style>text{fill:#1c2024}.faint{fill:#60646c;font-size:12px}.rule{stroke:#d9d9e0}.bar{fill:#8b8d98}"
        ".ours{fill:#0b7a5b}@media(prefers-color-scheme:dark){text{fill:#edeef0}.faint{fill:#b0b4ba}"
        ".rule{stroke:#363a3f}.bar{fill:#696e77}.ours{fill:#3dd68c}}</style>",
        '<text x="16" y="26" font-weight="600">Processor time per request, microseconds (16 at a time)</text>',
        '<text x="16" y="45" class="faint">logarithmic; less is better</text>',
    ]
    value = _LEAST
    while value <= most:
        x = _LEFT + math.log10(value / _LEAST) * scale
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - 26}"/>')
        parts.append(
            f'<text class="faint" x="{x:.1f}" y="{height - 10}" text-anchor="middle">{value:,.0f}</text>'
        )
        value *= 10
    for row, (name, cost) in enumerate(ordered):
        y = _TOP + row * _ROW + 8
        width = max(2.0, math.log10(max(cost, _LEAST) / _LEAST) * scale)
        kind = "ours" if name == "Causeway" else "bar"
        parts.append(f'<text x="{_LEFT - 12}" y="{y + 19}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="28" rx="3"/>')
        parts.append(f'<text x="{_LEFT + width + 8:.1f}" y="{y + 19}">{cost:,.0f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
