from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.errors import InvalidInputError
from causeway.prompts.history import Event, patch, pointed_before, side_by_side
from causeway.prompts.prompt import as_file, content_sha256, parse, with_version
from causeway.prompts.rollout import Pointer, bucket
from causeway.prompts.shelf import packaged_texts


@given(key=st.text(), percent=st.integers(1, 98))
def test_whoever_gets_the_trial_keeps_it_while_it_grows(key: str, percent: int) -> None:
    few = Pointer(version=1, trial=2, percent=percent)
    more = Pointer(version=1, trial=2, percent=percent + 1)
    assert few.choose("answer", key) == few.choose("answer", key)
    if few.choose("answer", key) == 2:
        assert more.choose("answer", key) == 2


def test_buckets_are_evenly_spread() -> None:
    counts = [0] * 10
    for n in range(20_000):
        counts[bucket("answer@2", f"conv_{n}") // 1000] += 1
    assert min(counts) > 1_800
    assert max(counts) < 2_200


@pytest.mark.parametrize("wrong", [(2, 0), (None, 5), (2, 100), (1, 5)])
def test_a_pointer_makes_sense(wrong: tuple[int | None, int]) -> None:
    with pytest.raises(InvalidInputError):
        Pointer(version=1, trial=wrong[0], percent=wrong[1])


@pytest.mark.parametrize("name", packaged_texts())
def test_packaged_files_can_be_written_and_read_again(name: str) -> None:
    text = packaged_texts()[name]
    prompt = parse(text, origin=name)
    again = parse(as_file(prompt), origin=name)
    assert (again.sections, again.inputs, again.version) == (prompt.sections, prompt.inputs, prompt.version)
    assert content_sha256(with_version(text, 77)) == content_sha256(text)
    assert prompt.names_used() == {each.name for each in prompt.inputs}


def test_front_matter_with_aliases_is_refused() -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nname: x\nversion: 1"
    with pytest.raises(InvalidInputError, match="aliases"):
        parse(f"---\n{bomb}\n---\n=== user\nhi\n", origin="bomb.prompt")


def test_side_by_side_leaves_out_what_is_far_from_a_change() -> None:
    left = "\n".join(f"line {n}" for n in range(40))
    right = left.replace("line 20", "line twenty").replace("line 39", "line 39\nline 40")
    rows = side_by_side(left, right, around=2)
    assert [row.kind for row in rows] == [
        "skipped", "same", "same", "changed", "same", "same", "skipped", "same", "same", "new",
    ]  # fmt: skip
    assert rows[3].left == (21, "line 20")
    assert rows[3].right == (21, "line twenty")
    assert len(side_by_side(left, right, around=None)) == 41


def test_a_patch_of_a_new_file_and_of_none() -> None:
    assert patch("a\n", "a\n", path="x.prompt") == ""
    made = patch(None, "a\n", path="p/x.prompt")
    assert made.startswith(
        "diff --git a/p/x.prompt b/p/x.prompt\nnew file mode 100644\n--- /dev/null\n+++ b/p/x.prompt\n"
    )


def test_what_was_before_passes_rollbacks_over(moves: list[Event]) -> None:
    assert pointed_before(moves, 3) == Pointer(version=2)
    assert pointed_before(moves, 2) == Pointer(version=1, follows_package=True)
    assert pointed_before(moves, 1) is None


@pytest.fixture
def moves() -> list[Event]:
    """1, 2, 3, back to 2, newest first."""
    from datetime import UTC, datetime

    def event(number: int, action: str, before: int | None, after: int) -> Event:
        return Event(
            id=number,
            name="answer",
            action=action,  # type: ignore[arg-type]  # one of them
            label="live",
            before={"version": before, "follows_package": before == 1} if before else None,
            after={"version": after},
            why="x",
            principal_id="key_a",
            at=datetime(2026, 11, 1, tzinfo=UTC),
        )

    return [
        event(4, "rollback", 3, 2),
        event(3, "label", 2, 3),
        event(2, "label", 1, 2),
        event(1, "package", None, 1),
    ]
