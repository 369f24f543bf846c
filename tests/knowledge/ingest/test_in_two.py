from __future__ import annotations

import io
import os
import pickle
import time
from typing import Any

import pytest

from causeway.knowledge.ingest.in_two import deal, in_two, parts_of, with_help
from causeway.knowledge.ingest.parse_pdf import parse_pdf
from causeway.knowledge.ingest.reading import Reading


def _slowly(numbers: range) -> list[tuple[int, int]]:
    time.sleep(0.01)
    return [(number, os.getpid()) for number in numbers]


def test_what_two_processes_make_comes_back_in_order() -> None:
    found = in_two(70, _slowly)
    assert [number for number, _ in found] == list(range(70))
    assert len({process for _, process in found}) == 2


@pytest.mark.parametrize("count", [1, 4, 11, 12, 48, 97, 3000])
def test_parts_are_all_of_it(count: int) -> None:
    parts = parts_of(count)
    assert [number for part in parts for number in part] == list(range(count))
    assert len(parts) <= 48


def test_a_half_whose_process_dies_is_done_by_the_other() -> None:
    here = os.getpid()

    def work(numbers: range) -> list[int]:
        if os.getpid() != here:
            os._exit(3)
        return list(numbers)

    assert in_two(5, work) == [0, 1, 2, 3, 4]


def test_what_a_helper_has_done_need_not_be_done() -> None:
    answers = io.BytesIO(pickle.dumps({0: ["A"]}))
    deck = deal(5)
    os.read(deck, 1)  # the helper takes the first
    assert with_help(5, lambda numbers: ["abcde"[number] for number in numbers], deck, answers) == list(
        "Abcde"
    )


@pytest.mark.parametrize("said", [b"", pickle.dumps({3: ["d"], 4: ["e"]})[:-3]])
def test_parts_whose_helper_dies_are_done_by_the_other(said: bytes) -> None:
    deck = deal(5)
    assert os.read(deck, 2) == bytes([0, 1])  # taken, and never told of
    assert with_help(5, list, deck, io.BytesIO(said)) == [0, 1, 2, 3, 4]


def test_what_goes_wrong_in_the_second_half_is_told_like_anything_else() -> None:
    def work(numbers: range) -> list[int]:
        return [10 // (4 - number) for number in numbers]

    with pytest.raises(ZeroDivisionError):
        in_two(5, work)


def test_an_answer_larger_than_a_pipe_holds_arrives() -> None:
    assert sum(map(len, in_two(2, lambda numbers: ["x" * 1_000_000 for _ in numbers]))) == 2_000_000


def test_no_process_is_left_behind() -> None:
    there = [process for _, process in in_two(70, _slowly) if process != os.getpid()]
    with pytest.raises(ChildProcessError):  # it was waited for: nothing is left of it, not even how it ended
        os.waitpid(there[0], os.WNOHANG)


def test_a_long_pdf_reads_the_same_by_two_processes(make_pdf: Any, draw: Any) -> None:
    pages = [
        [
            draw.Text(72, 60, f"Chapter {number}", 18, True),
            *draw.lines(
                [f"the survey of harbour {number} took us nine days instead of five", "because of fog."]
            ),
        ]
        for number in range(30)
    ]
    content = make_pdf(pages)
    one, two = (parse_pdf(content, Reading(readers=readers)) for readers in (1, 2))
    assert one == two
    assert [block.places for block in one.blocks] == [block.places for block in two.blocks]
    assert [block.page for block in one.blocks if block.kind == "heading"] == list(range(1, 31))
