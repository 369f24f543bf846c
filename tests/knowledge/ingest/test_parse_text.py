from __future__ import annotations

import pytest

from causeway.knowledge.document import Block
from causeway.knowledge.ingest.parse_csv import parse_csv
from causeway.knowledge.ingest.parse_markdown import markdown_blocks, parse_markdown
from causeway.knowledge.ingest.parse_text import parse_plain, plain_blocks
from causeway.knowledge.ingest.text_encoding import decode

GERMAN = "Für Schäden haftet die Auftragnehmerin: höchstens 380 €."
RUSSIAN = "Настоящий договор вступает в силу первого января и действует в течение двух лет."
JAPANESE = "この契約は一月一日から二年間にわたって効力を持ちます。それは更新されることがあります。"
CHINESE = "本合同自一月一日起生效。有效期为两年。我们不会在没有通知的情况下中止这个合同。这是说好的。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "cp1252"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
        (GERMAN.replace("€", "EUR"), "latin-1"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (CHINESE, "gb18030"),
    ],
)
def test_text_is_read_in_whatever_encoding_it_is(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_bad_byte_in_a_long_utf8_file_does_not_spoil_the_rest() -> None:
    text = decode(("Größe " * 400).encode() + b"\xff" + "Größe".encode())
    assert text.endswith("\ufffdGröße")


def test_line_ends_of_every_kind_become_newlines() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


def test_markdown_keeps_structure_and_unwraps_paragraphs() -> None:
    source = (
        "# Returns *policy*\n\nYou have\n45 days.\n\n- a\n  - b\n- c\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\n"
        "```sh\n# no heading\nls\n```\n\n> quoted\n\nSetext\n------\n\nend  \nof it\n"
    )
    assert markdown_blocks(source) == [
        Block(kind="heading", text="Returns policy", level=1),
        Block(kind="paragraph", text="You have 45 days."),
        Block(kind="list", text="- a\n  - b\n- c"),
        Block(kind="table", text="| A | B |\n|---|---|\n| 1 | 2 |"),
        Block(kind="code", text="```sh\n# no heading\nls\n```"),
        Block(kind="paragraph", text="> quoted"),
        Block(kind="heading", text="Setext", level=2),
        Block(kind="paragraph", text="end\nof it"),
    ]


def test_front_matter_becomes_metadata_and_title() -> None:
    parsed = parse_markdown(
        b"---\ntitle: Leave\nowner: Edie\ntags: [hr, time]\nnested: {a: 1}\n---\n# Heading\n\nText.\n"
    )
    assert parsed.title == "Leave"
    assert parsed.metadata == {"owner": "Edie", "tags": "hr, time"}
    assert parsed.blocks[0].text == "Heading"


@pytest.mark.parametrize(
    "head",
    ["---\n!!python/object/apply:os.system [x]\n---\n", "---\n: : :\n\t-\n---\n", "---\njust text\n---\n"],
)
def test_front_matter_that_is_no_plain_yaml_mapping_stays_text(head: str) -> None:
    parsed = parse_markdown(f"{head}\nText.\n".encode())
    assert parsed.metadata == {}
    assert parsed.blocks[-1].text == "Text."


def test_html_inside_markdown_is_read_and_comments_are_not() -> None:
    blocks = markdown_blocks(
        "<!-- note to self -->\n\n<table><tr><th>A<th>B<tr><td>1<td>2</table>\n\nText <!-- no --> here."
    )
    assert [block.kind for block in blocks] == ["table", "paragraph"]
    assert blocks[1].text == "Text here."


def test_plain_text_finds_headings_lists_and_paragraphs() -> None:
    source = (
        "PRICE MATCHING\n\nHow we match prices.\n\nWhat counts\n-----------\n\n  * The same item:\n    brand and year.\n"
        "  * New.\n\n2. Limits\n\nThis paragraph was wrapped by its author at about seventy\n"
        "columns, so its lines belong together.\n\nTannery Yard\nHarrowdale\n"
    )
    assert plain_blocks(source) == [
        Block(kind="heading", text="PRICE MATCHING", level=1),
        Block(kind="paragraph", text="How we match prices."),
        Block(kind="heading", text="What counts", level=2),
        Block(kind="list", text="  * The same item:\n    brand and year.\n  * New."),
        Block(kind="heading", text="2. Limits", level=2),
        Block(
            kind="paragraph",
            text="This paragraph was wrapped by its author at about seventy columns, so its lines belong together.",
        ),
        Block(kind="paragraph", text="Tannery Yard\nHarrowdale"),
    ]


def test_unwrapped_text_has_a_paragraph_a_line() -> None:
    long = "This is a long line that its author never wrapped. " * 5
    parsed = parse_plain(f"§ 1 Subject\n{long}\n§ 2 Term\n{long}\n".encode())
    assert [block.kind for block in parsed.blocks] == ["heading", "paragraph", "heading", "paragraph"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_file_is_found(delimiter: str) -> None:
    rows = (("Place", "Name", "Price"), ("South", 'a "b", c', "1,50 €"), ("", "", ""), ("North", "d", "2"))
    quoted = (
        "\r\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    ).encode("cp1252")
    assert parse_csv(quoted).blocks == (
        Block(
            kind="table",
            text='| Place | Name | Price |\n| --- | --- | --- |\n| South | a "b", c | 1,50 € |\n| North | d | 2 |',
        ),
    )


def test_a_cell_with_line_breaks_stays_one_cell() -> None:
    assert parse_csv(b'a,b\n"one\ntwo",2\n').blocks[0].text == "| a | b |\n| --- | --- |\n| one two | 2 |"
