from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causeway.errors import DiskFullError
from causeway.gateway.entries import (
    Opening,
    Row,
    decoded_row,
    encoded_opening,
    encoded_row,
)
from causeway.gateway.journal import Journal, orphans, read_segment
from causeway.storage.schema import ledger
from tests.gateway.calls import an_entry, an_opening


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def _die(journal: Journal) -> None:
    """Let go of a journal as a killed process does."""
    journal.close(is_settled=False)


def _left(folder: Path, most: int = 10) -> list[tuple[list[list[str]], list[str]]]:
    """What each orphan left: batches of closed ids, and open ids."""
    with closing(orphans(folder)) as found:
        return [
            ([[row.id for row in rows] for rows in orphan.rows(most)], [o.id for o in orphan.never_closed()])
            for orphan in found
        ]


def test_a_row_has_the_columns_of_the_table() -> None:
    names = Row.__struct_fields__
    assert set(names[: names.index("owner")]) == set(ledger.columns.keys())


def test_what_a_process_wrote_is_left_when_it_dies(folder: Path) -> None:
    journal = Journal(folder)
    for call in ("a", "b"):
        journal.opened(encoded_opening(an_opening(call)))
    journal.closed(encoded_row(an_entry("a")))
    journal.closed(encoded_row(an_entry("refused")))
    assert _left(folder) == []  # it lives
    _die(journal)
    assert _left(folder) == [([["a", "refused"]], ["b"])]


def test_ended_calls_come_in_batches(folder: Path) -> None:
    journal = Journal(folder)
    for number in range(5):
        journal.closed(encoded_row(an_entry(f"{number}")))
    _die(journal)
    assert _left(folder, most=2) == [([["0", "1"], ["2", "3"], ["4"]], [])]


def test_an_opening_and_a_row_come_back_as_they_were(folder: Path) -> None:
    journal = Journal(folder)
    opening, row = an_opening("a"), decoded_row(encoded_row(an_entry("b")))
    journal.opened(encoded_opening(opening))
    journal.closed(encoded_row(an_entry("b")))
    (segment,) = folder.glob("*.journal")
    assert list(read_segment(segment)) == [opening, row]
    _die(journal)


def test_a_call_open_in_one_segment_may_close_in_a_later_one(folder: Path) -> None:
    journal = Journal(folder)
    lines = [encoded_opening(an_opening(call)) for call in ("a", "b")]
    for line in lines:
        journal.opened(line)
    for _ in range(10):  # ten and more segments: read by number, not by name
        journal.seal(lines)
    journal.closed(encoded_row(an_entry("a")))
    _die(journal)
    assert _left(folder) == [([["a"]], ["b"])]


def test_the_last_segment_names_every_open_call(folder: Path) -> None:
    journal = Journal(folder)
    journal.opened(encoded_opening(an_opening("a")))
    journal.seal([encoded_opening(an_opening("a"))])
    journal.discard(journal.sealed[0])
    _die(journal)
    assert _left(folder) == [([], ["a"])]


def test_a_settled_journal_leaves_nothing(folder: Path) -> None:
    journal = Journal(folder)
    journal.opened(encoded_opening(an_opening("a")))
    journal.seal([])
    journal.close(is_settled=True)
    assert list(folder.iterdir()) == []


def test_an_orphan_is_nobody_elses_while_it_is_being_adopted(folder: Path) -> None:
    _die(Journal(folder))
    with closing(orphans(folder)) as found:
        orphan = next(found)
        assert _left(folder) == []
        orphan.discard()
    assert list(folder.iterdir()) == []


def test_a_line_cut_off_by_the_machines_end_spoils_only_itself(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(folder)
    journal.opened(encoded_opening(an_opening("a")))
    journal.closed(encoded_row(an_entry("b")))
    _die(journal)
    (segment,) = folder.glob("*.journal")
    whole = segment.read_bytes()
    segment.write_bytes(b"\0" * 40 + b"\n" + whole[:-30])
    assert _left(folder) == [([], ["a"])]
    assert caplog.records[0].__dict__["lines"] == 2


def test_a_full_disk_refuses_the_line_and_keeps_the_others_whole(small_disk: Path) -> None:
    journal = Journal(small_disk)
    written = 0
    with pytest.raises(DiskFullError, match="no room left for the journal"):  # noqa: PT012 - until it is full
        for written in range(1_000):
            journal.opened(encoded_opening(an_opening(f"{written}")))
    (segment,) = small_disk.glob("*.journal")
    assert segment.stat().st_size == journal.size_bytes
    assert [record.id for record in read_segment(segment)] == [str(number) for number in range(written)]
    with pytest.raises(DiskFullError):
        journal.seal([segment.read_bytes()])
    assert len(list(small_disk.glob("*.journal"))) == 1
    journal.clear()
    journal.opened(encoded_opening(an_opening("again")))
    _die(journal)
    assert _left(small_disk) == [([], ["again"])]


anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=600)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(requested=anything, tokens=st.integers(-(2**70), 2**70))
def test_whatever_a_caller_or_provider_sends_makes_one_line(requested: str, tokens: int) -> None:
    entry = an_entry("a", requested_model=requested, attempts=tokens)
    line = encoded_row(entry)
    assert b"\n" not in line
    assert b"\\u0000" not in line.replace(b"\\\\", b"")
    row = decoded_row(line)
    assert len(row.requested_model) <= 600
    assert row.cost_micros == entry.cost_micros
    assert isinstance(_opening_of(requested), Opening)


def _opening_of(model: str) -> object:
    from causeway.gateway.entries import decoded_opening

    return decoded_opening(encoded_opening(an_opening("a", model=model)))
