from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from causeway.knowledge.document import HEADING_SEPARATOR, Block, BlockKind, Chunk, ParsedDocument
from causeway.knowledge.ingest.chunking import Chunker

VOCABULARY = [
    "harbour",
    "survey",
    "pilot",
    "cable",
    "fathom",
    "channel",
    "chart",
    "fog",
    "sail",
    "tide",
    "anchor",
    "mast",
    "hull",
    "keel",
    "rope",
    "bell",
]


def _words_and_marks() -> Tokenizer:
    """One token a word and one a punctuation mark, as WordPiece has for words it knows."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _byte_pairs() -> Tokenizer:
    """Tokens that depend on what stands beside them, spaces and line breaks included, and cut words apart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        [" ".join(VOCABULARY), "Rows | --- |\n\n# Heading\n\n- item\n\n"] * 5,
        trainers.BpeTrainer(
            vocab_size=400, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    return tokenizer


TOKENIZERS = {"words": _words_and_marks(), "byte pairs": _byte_pairs()}


def _chunk(blocks: Sequence[Block], *, title: str = "Title", max_tokens: int = 40) -> tuple[Chunk, ...]:
    parsed = ParsedDocument(title=title, media_type="text/plain", blocks=tuple(blocks))
    return Chunker(TOKENIZERS["words"], max_tokens=max_tokens).chunk(parsed, title=title)


def _heading(text: str, level: int = 1, page: int | None = None) -> Block:
    return Block(kind="heading", text=text, level=level, page=page)


def _paragraph(words: int, start: str = "word", page: int | None = None) -> Block:
    return Block(kind="paragraph", text=" ".join([start] * words), page=page)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_a_section_becomes_a_chunk_below_its_heading_path() -> None:
    blocks = [
        _heading("Travel"),
        _paragraph(20),
        _heading("Trains", 2),
        _paragraph(20),
        _heading("Planes", 2),
        _paragraph(20),
    ]
    assert [(chunk.heading, chunk.ordinal) for chunk in _chunk(blocks)] == [
        ("Title > Travel", 0),
        ("Title > Travel > Trains", 1),
        ("Title > Travel > Planes", 2),
    ]


def test_the_title_is_not_repeated_by_the_first_heading() -> None:
    chunks = _chunk([_heading("title"), _paragraph(3), _heading("Part", 2), _paragraph(30)])
    assert [chunk.heading for chunk in chunks] == ["Title", "Title > Part"]


def test_a_document_without_title_or_headings_has_an_empty_heading() -> None:
    assert _chunk([_paragraph(5)], title="")[0] == Chunk(
        ordinal=0, heading="", text="word word word word word", page=None, tokens=5
    )


def test_small_sections_below_one_heading_are_merged_and_keep_their_own() -> None:
    blocks = [_heading("Questions"), *(b for n in range(3) for b in (_heading(f"Q{n}", 2), _paragraph(4)))]
    (chunk,) = _chunk(blocks)
    assert chunk.heading == "Title > Questions"
    assert chunk.text.startswith("## Q0\n\nword word word word\n\n## Q1\n\n")


def test_sections_of_different_top_headings_are_never_merged() -> None:
    chunks = _chunk([_heading("A"), _paragraph(2), _heading("B"), _paragraph(2)])
    assert [chunk.heading for chunk in chunks] == ["Title > A", "Title > B"]


def test_a_line_of_introduction_goes_with_the_first_subsection() -> None:
    chunks = _chunk([_heading("A"), _paragraph(3), _heading("B", 2), _paragraph(18)])
    assert [(chunk.heading, chunk.text.split("\n\n")[1]) for chunk in chunks] == [("Title > A", "## B")]


def test_a_heading_with_nothing_below_it_is_not_lost() -> None:
    chunks = _chunk([_heading("A"), _heading("Bare", 2), _heading("C", 2), _paragraph(4), _heading("End")])
    assert [chunk.text for chunk in chunks] == ["Bare\n\n## C\n\nword word word word", "End"]


def test_a_long_section_is_cut_into_chunks_of_about_the_same_length() -> None:
    chunks = _chunk([_heading("A"), *[_paragraph(10)] * 9], max_tokens=64)
    assert len(chunks) == 2
    assert max(chunk.tokens for chunk in chunks) - min(chunk.tokens for chunk in chunks) <= 10


def test_the_rows_of_a_long_table_each_come_with_its_header() -> None:
    rows = [f"| item {number} | {number} |" for number in range(30)]
    table = Block(kind="table", text="\n".join(["| Name | Price |", "| --- | --- |", *rows]))
    chunks = _chunk([_paragraph(3), table], max_tokens=64)
    assert len(chunks) > 3
    for chunk in chunks:
        assert chunk.text.count("| Name | Price |\n| --- | --- |\n") == 1
    kept = [line for chunk in chunks for line in chunk.text.split("\n") if line.startswith("| item")]
    assert kept == rows


def test_long_code_keeps_its_fences_and_long_lists_their_items() -> None:
    lines = [f"call({number})" for number in range(40)]
    items = [f"- item {number}\n  and more of it" for number in range(20)]
    code = Block(kind="code", text="\n".join(["```py", *lines, "```"]))
    chunks = _chunk(
        [_heading("A"), code, _heading("B"), Block(kind="list", text="\n".join(items))], max_tokens=48
    )
    for chunk in chunks:
        if chunk.heading.endswith("A"):
            assert chunk.text.startswith("```py\n")
            assert chunk.text.endswith("\n```")
        else:
            assert chunk.text.startswith("- item")
            assert chunk.text.endswith("and more of it")


def test_long_paragraphs_are_cut_between_sentences() -> None:
    text = " ".join(f"This is sentence number {number} of them all." for number in range(30))
    chunks = _chunk([Block(kind="paragraph", text=text)], max_tokens=48)
    assert len(chunks) > 4
    assert all(chunk.text.startswith("This") and chunk.text.endswith("all.") for chunk in chunks)


def test_a_chunk_is_on_the_page_it_begins_on() -> None:
    blocks = [
        _heading("A", page=1),
        _paragraph(30, page=1),
        _paragraph(30, page=2),
        _heading("B", page=2),
        _paragraph(9, page=3),
    ]
    assert [chunk.page for chunk in _chunk(blocks)] == [1, 2, 3]


def test_a_heading_path_that_is_too_long_loses_its_middle_and_its_words_stay_in_the_text() -> None:
    names = [" ".join([word] * 6) for word in ("alpha", "beta", "gamma", "delta")]
    blocks = [*(_heading(name, level) for level, name in enumerate(names, start=1)), _paragraph(10)]
    chunks = _chunk(blocks, max_tokens=64)
    assert chunks[0].heading.startswith("Title")
    assert chunks[0].heading.endswith("delta")
    assert "beta" not in chunks[0].heading
    assert "beta" in " ".join(chunk.text for chunk in chunks)


def test_truncation_of_the_tokenizer_hides_no_length() -> None:
    tokenizer = _words_and_marks()
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    parsed = ParsedDocument(title="", media_type="text/plain", blocks=(_paragraph(50),))
    chunks = Chunker(tokenizer, max_tokens=20).chunk(parsed, title="")
    assert sum(chunk.tokens for chunk in chunks) == 50
    assert tokenizer.truncation is not None


def test_an_empty_document_has_no_chunks() -> None:
    assert _chunk([]) == ()
    assert _chunk([Block(kind="paragraph", text="  \n ")]) == ()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("seed", range(15))
def test_random_documents_fit_always_and_lose_nothing(seed: int, tokenizer: str) -> None:
    rng = random.Random(seed)
    parsed = _document(rng)
    limit = rng.choice([64, 96, 320])
    title = " ".join(rng.choices(VOCABULARY, k=rng.choice([0, 2, 2, 60])))
    chunks = Chunker(TOKENIZERS[tokenizer], max_tokens=limit).chunk(parsed, title=title)

    for number, chunk in enumerate(chunks):
        counted = len(TOKENIZERS[tokenizer].encode(chunk.searchable, add_special_tokens=False))
        assert chunk.ordinal == number
        assert chunk.tokens == counted <= limit
        assert chunk.text.strip() == chunk.text != ""
    assert _is_covered(
        [word for block in parsed.blocks if block.kind != "heading" for word in _words(block.text)], chunks
    )
    said = " ".join(f"{chunk.heading} {chunk.text}" for chunk in chunks)
    for block in parsed.blocks:
        if block.kind == "heading":
            assert set(_words(block.text)) <= set(_words(said))


@pytest.mark.parametrize("seed", range(12))
def test_no_chunk_of_a_random_document_ends_on_a_heading(seed: int) -> None:
    chunks = Chunker(TOKENIZERS["words"], max_tokens=96).chunk(_document(random.Random(seed)), title="T")
    assert not [chunk for chunk in chunks if chunk.text.rsplit("\n", 1)[-1].startswith("#")]


def _is_covered(words: list[str], chunks: Sequence[Chunk]) -> bool:
    """Whether all words come in order; chunks may say more, such as headings and a table's header again."""
    said = iter([word for chunk in chunks for word in _words(chunk.text)])
    return all(word in said for word in words)


def _document(rng: random.Random) -> ParsedDocument:
    number = 0

    def words(count: int) -> str:
        nonlocal number
        # A running number makes each word its own, so that order and loss can be told.
        made = []
        for _ in range(count):
            number += 1
            made.append(f"{rng.choice(VOCABULARY)}{number}")
        return " ".join(made)

    def block() -> Block:
        kind: BlockKind = rng.choice(
            ["heading", "heading", "paragraph", "paragraph", "list", "table", "code"]
        )
        size = rng.choice([1, 3, 10, 40, 200])
        match kind:
            case "heading":
                return _heading(words(rng.choice([1, 3, 3, 30])), rng.randint(1, 4))
            case "paragraph":
                ends = rng.choice([". ", " ", "", "\n"])
                return Block(kind=kind, text=ends.join(words(rng.randint(1, 12)) for _ in range(size)))
            case "list":
                return Block(kind=kind, text="\n".join(f"- {words(rng.randint(1, 20))}" for _ in range(size)))
            case "table":
                width = rng.choice([1, 3, 8])
                rows = [
                    "| " + " | ".join(words(rng.choice([1, 1, 9])) for _ in range(width)) + " |"
                    for _ in range(size)
                ]
                return Block(kind=kind, text="\n".join([rows[0], "|" + " --- |" * width, *rows[1:]]))
            case "code":
                return Block(
                    kind=kind,
                    text="\n".join(["```", *(words(rng.randint(1, 9)) for _ in range(size)), "```"]),
                )

    blocks = tuple(block() for _ in range(rng.randint(1, 25)))
    return ParsedDocument(title="", media_type="text/plain", blocks=blocks)


def test_the_separator_of_headings_is_the_documents() -> None:
    assert HEADING_SEPARATOR in _chunk([_heading("A"), _paragraph(2)])[0].heading
