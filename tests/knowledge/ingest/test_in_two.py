from __future__ import annotations

import io
import os
import pickle
from typing import Any

import pytest

from causeway.knowledge.ingest.in_two import in_two, with_help
from causeway.knowledge.ingest.parse_pdf import parse_pdf
from causeway.knowledge.ingest.reading import Reading


def test_halves_come_back_in_order_from_two_processes() -> None:
    found = in_two(7, lambda numbers: [(number, os.getpid()) for number in numbers])
    assert [number for number, _ in found] == list(range(7))
    assert len({process for _, process in found}) == 2
    assert {process for number, process in found if number < 4} == {os.getpid()}


def test_a_half_whose_process_dies_is_done_by_the_other() -> None:
    here = os.getpid()

    def work(numbers: range) -> list[int]:
        if os.getpid() != here:
            os._exit(3)
        return list(numbers)

    assert in_two(5, work) == [0, 1, 2, 3, 4]


def test_what_a_helper_says_is_the_second_half() -> None:
    answers = io.BytesIO(pickle.dumps(["d", "e"]))
    assert with_help(5, lambda numbers: ["abc"[number] for number in numbers], answers) == list("abcde")


@pytest.mark.parametrize("said", [b"", pickle.dumps(["d", "e"])[:-3]])
def test_a_half_whose_helper_dies_is_done_by_the_other(said: bytes) -> None:
    assert with_help(5, list, io.BytesIO(said)) == [0, 1, 2, 3, 4]


def test_what_goes_wrong_in_the_second_half_is_told_like_anything_else() -> None:
    def work(numbers: range) -> list[int]:
        return [10 // (4 - number) for number in numbers]

    with pytest.raises(ZeroDivisionError):
        in_two(5, work)


def test_an_answer_larger_than_a_pipe_holds_arrives() -> None:
    assert sum(map(len, in_two(2, lambda numbers: ["x" * 1_000_000 for _ in numbers]))) == 2_000_000


def test_no_process_is_left_behind() -> None:
    there = in_two(2, lambda numbers: [os.getpid() for _ in numbers])
    with pytest.raises(ChildProcessError):  # it was waited for: nothing is left of it, not even how it ended
        os.waitpid(there[1], os.WNOHANG)


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
