from __future__ import annotations

from collections.abc import Sequence

import pytest

from causeway.knowledge.document import Block
from causeway.knowledge.ingest.parse_web import html_blocks, parse_html


def _said(blocks: Sequence[Block]) -> str:
    return "\n".join(block.text for block in blocks)


def test_only_the_content_of_a_page_is_kept() -> None:
    text = "Delivery takes two to four working days on the mainland. " * 5
    parsed = parse_html(
        f"""<!doctype html><html><head><title>Delivery - Fernhill</title><meta name=author content="Jo"><style>p {{}}</style></head>
        <body><header><nav><a href=/>Home</a></nav></header><div class="cookie-banner">We use cookies</div>
        <main><nav class=breadcrumb>Start / Help</nav><h1>Delivery</h1><p>{text}</p><aside>Buy now</aside>
        <script>alert(1)</script><p hidden>secret</p><p style="display: none">gone</p></main>
        <footer>Imprint</footer></body></html>""".encode()
    )
    assert parsed.title == "Delivery"
    assert parsed.metadata == {"author": "Jo"}
    assert [block.kind for block in parsed.blocks] == ["heading", "paragraph"]
    for noise in ("Home", "cookies", "Start /", "Buy now", "alert", "secret", "gone", "Imprint"):
        assert noise not in _said(parsed.blocks)


def test_a_page_that_calls_its_content_a_sidebar_is_still_read() -> None:
    assert "All there is" in _said(
        parse_html(b"<body><div class=sidebar><p>All there is.</p></div></body>").blocks
    )


def test_lists_quotes_code_and_breaks_are_kept() -> None:
    blocks = html_blocks(
        "<p>One<br>two <b>bold</b> <code>x</code></p><ul><li>a<ul><li>b</li></ul></li><li><p>c</p></li></ul>"
        "<ol><li>first<li>second</ol><blockquote>wise</blockquote><pre>a\n  b</pre><dl><dt>Term<dd>Meaning</dl>"
    )
    assert blocks == [
        Block(kind="paragraph", text="One\ntwo bold `x`"),
        Block(kind="list", text="- a\n  - b\n- c"),
        Block(kind="list", text="1. first\n2. second"),
        Block(kind="paragraph", text="> wise"),
        Block(kind="code", text="```\na\n  b\n```"),
        Block(kind="list", text="- Term: Meaning"),
    ]


def test_tables_keep_header_caption_and_cells_that_span() -> None:
    blocks = html_blocks(
        "<table><caption>Prices</caption><thead><tr><th>Item<th>Size<th>Price</tr></thead><tbody>"
        "<tr><td rowspan=2>Tent<td>2<td>1|5</tr><tr><td>4<td>9</tr><tr><td colspan=2>Total<td>24</tr></table>"
    )
    assert blocks == [
        Block(kind="paragraph", text="Prices"),
        Block(
            kind="table",
            text="| Item | Size | Price |\n| --- | --- | --- |\n| Tent | 2 | 1\\|5 |\n| Tent | 4 | 9 |\n| Total |  | 24 |",
        ),
    ]


def test_a_table_that_only_lays_out_the_page_is_no_table() -> None:
    blocks = html_blocks("<table><tr><td><h2>Left</h2><p>one</p></td><td><p>two</p></td></tr></table>")
    assert [block.kind for block in blocks] == ["heading", "paragraph", "paragraph"]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("<meta charset=utf-8>", "utf-8"),
        ("", "cp1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">', "cp1252"),
        ("<meta charset=iso-8859-2>", "iso-8859-2"),
        ("<meta charset=utf-8>", "utf-16"),
    ],
)
def test_the_encoding_is_found(head: str, encoding: str) -> None:
    page = f"<html><head>{head}</head><body><p>Größe in Zürich</p></body></html>"
    assert parse_html(page.encode(encoding)).blocks[0].text == "Größe in Zürich"


def test_deep_nesting_does_not_overflow() -> None:
    depth = 3000
    assert _said(html_blocks("<div><span>" * depth + "needle" + "</span></div>" * depth)) == "needle"
    assert "needle" in _said(html_blocks("<ul><li>" * depth + "needle"))
