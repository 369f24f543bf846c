"""What every strategy promises, and what each does differently."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Vectors
from causeway.knowledge.collection_options import STRATEGIES, Chunking, Strategy
from causeway.knowledge.document import Block, Chunk, ParsedDocument
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies, Cut
from causeway.knowledge.markdown_tables import is_table, joined
from causeway.testing.gateway import bags_of_words

CALL = Call(principal=SYSTEM, purpose="ingest")


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
        ["w1 w2 w30 w41", "Rows | --- |\n\n# Heading\n\n- item\n\n"] * 5,
        trainers.BpeTrainer(
            vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    return tokenizer


TOKENIZERS = {"words": _words_and_marks(), "byte pairs": _byte_pairs()}


async def _embed(texts: Sequence[str]) -> Vectors:
    return bags_of_words(texts, 16)


async def _cut(
    blocks: Sequence[Block],
    strategy: Strategy,
    *,
    tokenizer: str = "words",
    max_tokens: int = 64,
    title: str = "Title",
    overlap: int = 0,
    percentile: int = 90,
) -> tuple[Chunk, ...]:
    strategies = ChunkStrategies(TOKENIZERS[tokenizer], default_tokens=max_tokens)
    chunking = Chunking(
        strategy=strategy,
        overlap_tokens=overlap,
        child_tokens=min(48, max_tokens),
        parent_tokens=4 * max_tokens,
        breakpoint_percentile=percentile,
    )
    parsed = ParsedDocument(title=title, media_type="text/plain", blocks=tuple(blocks))
    cut: Cut = await strategies.cut(parsed, title=title, chunking=chunking, embed=_embed, call=CALL)
    return cut.chunks


class _Numbered:
    """Documents of words that are numbered in reading order, so that a lost or moved one is seen."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._next = 0

    def words(self, count: int) -> str:
        numbers = range(self._next, self._next + count)
        self._next += count
        said = [f"w{number}" + ("." if self._random.random() < 0.15 else "") for number in numbers]
        return " ".join(said)

    def block(self) -> Block:
        kind = self._random.choice(["heading", "paragraph", "paragraph", "list", "table", "code"])
        some = self._random.randint
        match kind:
            case "heading":
                return Block(kind="heading", text=self.words(some(1, 6)), level=some(1, 4))
            case "list":
                return Block(
                    kind="list", text="\n".join(f"- {self.words(some(1, 30))}" for _ in range(some(1, 8)))
                )
            case "table":
                rows = [
                    f"| {self.words(some(1, 3))} | {self.words(some(1, 9))} |" for _ in range(some(1, 12))
                ]
                return Block(kind="table", text="\n".join(["| H1 | H2 |", "| --- | --- |", *rows]))
            case "code":
                lines = [self.words(some(1, 12)) for _ in range(some(1, 10))]
                return Block(kind="code", text="\n".join(["```", *lines, "```"]))
            case _:
                return Block(kind="paragraph", text=self.words(some(1, 200)))

    def blocks(self) -> list[Block]:
        return [self.block() for _ in range(self._random.randint(1, 12))]


def _numbers(texts: Sequence[str]) -> list[int]:
    return [int(found) for text in texts for found in re.findall(r"\bw(\d+)", text)]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_no_text_is_lost_and_order_is_kept(strategy: Strategy, tokenizer: str) -> None:
    for seed in range(25):
        blocks = _Numbered(seed).blocks()
        expected = _numbers([block.text for block in blocks])
        chunks = await _cut(blocks, strategy, tokenizer=tokenizer)
        found = _numbers([f"{chunk.heading}\n{chunk.text}" for chunk in chunks])
        assert sorted(set(found)) == expected, (seed, strategy)
        # headings may stand in a chunk's path, or again in its text where the path is too long
        body = _numbers([block.text for block in blocks if block.kind != "heading"])
        below = [number for number in _numbers([chunk.text for chunk in chunks]) if number in set(body)]
        assert below == body, (seed, strategy)
        assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_no_chunk_has_more_tokens_than_it_may_and_each_count_is_exact(
    strategy: Strategy, tokenizer: str
) -> None:
    for seed in range(25):
        title = "A title of some length " * (seed % 9)
        for chunk in await _cut(_Numbered(seed).blocks(), strategy, tokenizer=tokenizer, title=title):
            counted = len(TOKENIZERS[tokenizer].encode(chunk.searchable, add_special_tokens=False))
            assert chunk.tokens == counted <= 64, (seed, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_table_that_goes_on_says_its_header_again(strategy: Strategy) -> None:
    rows = [f"| w{number} | {'value ' * 6}|" for number in range(30)]
    table = Block(kind="table", text="\n".join(["| Name | What |", "| --- | --- |", *rows]))
    chunks = await _cut([Block(kind="paragraph", text="Before. It."), table], strategy)
    with_rows = [chunk for chunk in chunks if re.search(r"\bw\d+", chunk.text)]
    assert len(with_rows) > 2
    for chunk in with_rows:
        assert "| Name | What |\n| --- | --- |\n| w" in chunk.text


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_word_longer_than_a_chunk_is_cut_and_all_of_it_kept(strategy: Strategy) -> None:
    word = "".join(random.Random(1).choice("abcdefgh") for _ in range(3000))
    chunks = await _cut([Block(kind="paragraph", text=word)], strategy, tokenizer="byte pairs", title="")
    assert "".join(chunk.text for chunk in chunks) == word
    assert max(chunk.tokens for chunk in chunks) <= 64


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_document_without_text_has_no_chunks(strategy: Strategy) -> None:
    assert await _cut([Block(kind="paragraph", text=" \n")], strategy) == ()


@pytest.mark.parametrize("strategy", ["fixed", "recursive", "sentence"])
async def test_what_is_repeated_is_the_end_of_the_chunk_before(strategy: Strategy) -> None:
    repeated = 0
    for seed in range(20):
        generated = _Numbered(seed)
        blocks = [Block(kind="paragraph", text=generated.words(150)) for _ in range(3)]
        chunks = await _cut(blocks, strategy, overlap=16)
        assert sorted(set(_numbers([chunk.text for chunk in chunks]))) == list(range(450))
        for before, after in pairwise(chunks):
            had, has = _numbers([before.text]), _numbers([after.text])
            both = [number for number in has if number <= had[-1]]
            assert both == had[len(had) - len(both) :]
            assert len(both) <= 16
            repeated += bool(both)
    assert repeated > 10


async def test_fixed_fills_every_chunk() -> None:
    chunks = await _cut([Block(kind="paragraph", text=_Numbered(3).words(1000).replace(".", ""))], "fixed")
    assert {chunk.tokens for chunk in chunks[:-1]} == {64}


async def test_sentence_never_cuts_one_that_fits() -> None:
    text = " ".join(f"Number {n} has twelve words in it, as one can count here." for n in range(40))
    chunks = await _cut([Block(kind="paragraph", text=text)], "sentence")
    assert all(chunk.text.endswith("here.") and chunk.text.startswith("Number") for chunk in chunks)


async def test_an_abbreviation_ends_no_sentence() -> None:
    text = " ".join(f"Ask Dr. Brown, e.g. by mail, about matter No. {n} before noon." for n in range(20))
    chunks = await _cut([Block(kind="paragraph", text=text)], "sentence")
    assert len(chunks) > 3
    assert all(chunk.text.startswith("Ask") for chunk in chunks)


async def test_no_chunk_of_whole_blocks_ends_on_a_heading() -> None:
    blocks: list[Block] = []
    for n in range(12):
        blocks += [
            Block(kind="heading", text=f"Heading {n}", level=2),
            Block(kind="paragraph", text=f"Line {n} " + "word " * 15),
        ]
    for strategy in ("recursive", "sentence", "semantic"):
        chunks = await _cut(blocks, strategy)
        assert len(chunks) > 2
        assert not any(chunk.text.splitlines()[-1].startswith("#") for chunk in chunks), strategy


async def test_semantic_ends_a_chunk_where_the_subject_changes() -> None:
    boats = "The boat has a mast and the boat has a sail. "
    bread = "Bread wants flour then bread wants salt. "
    blocks = [Block(kind="paragraph", text=boats * 5 + bread * 5)]
    (first, second) = await _cut(blocks, "semantic", max_tokens=256, percentile=90)
    assert "flour" not in first.text
    assert "mast" not in second.text


async def test_a_small_chunk_knows_its_section_which_is_its_chunks_in_order() -> None:
    generated = _Numbered(5)
    text = generated.words(180)
    chunks = await _cut(
        [
            Block(kind="heading", text="First", level=1),
            Block(kind="paragraph", text=text),
            Block(kind="heading", text="Second", level=1),
            Block(kind="paragraph", text=generated.words(12)),
        ],
        "parent_child",
    )
    first = [chunk for chunk in chunks if chunk.parent == 0]
    assert len(first) == len(chunks) - 1 > 3
    assert chunks[-1].parent is None
    assert joined([chunk.text for chunk in first]).split() == text.split()


def test_parts_of_a_table_are_joined_under_one_header() -> None:
    header = "| A | B |\n| --- | --- |"
    whole = joined([f"Before\n\n{header}\n| 1 | 2 |", f"{header}\n| 3 | 4 |\n\nAfter"])
    assert whole == f"Before\n\n{header}\n| 1 | 2 |\n| 3 | 4 |\n\nAfter"
    assert is_table(header)
    assert not is_table("a | b\nc")


async def test_vectors_are_asked_for_in_bounded_number() -> None:
    asked: list[int] = []

    async def embed(texts: Sequence[str]) -> Vectors:
        asked.append(len(texts))
        return np.full((len(texts), 4), 0.5, dtype=np.float32)

    strategies = ChunkStrategies(TOKENIZERS["words"], default_tokens=64)
    blocks = (Block(kind="paragraph", text="Short one. " * 9000),)
    cut = await strategies.cut(
        ParsedDocument(title="", media_type="text/plain", blocks=blocks),
        title="",
        chunking=Chunking(strategy="semantic"),
        embed=embed,
        call=CALL,
    )
    assert asked == [1800]
    assert sum(chunk.text.count("Short") for chunk in cut.chunks) == 9000
