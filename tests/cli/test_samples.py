from __future__ import annotations

from pathlib import Path

from causeway.cli.samples import lay_out


def tree(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_the_samples_are_at_one_place_wherever_causeway_is_installed(tmp_path: Path) -> None:
    first, second, place = tmp_path / "release 1", tmp_path / "release 2", tmp_path / "data" / "samples"
    for release, files in ((first, ("a.md", "in/b.md", "gone.md")), (second, ("a.md", "in/b.md", "new.md"))):
        for name in files:
            (release / name).parent.mkdir(parents=True, exist_ok=True)
            (release / name).write_text(f"{release.name}, {name}")
        assert lay_out(release, place) == place
        assert tree(place) == tree(release)


def test_a_file_that_is_equal_is_not_written_again(tmp_path: Path) -> None:
    samples, place = tmp_path / "samples", tmp_path / "place"
    samples.mkdir()
    (samples / "a.md").write_text("as it is")
    lay_out(samples, place)
    before = (place / "a.md").stat().st_ino
    lay_out(samples, place)
    assert (place / "a.md").stat().st_ino == before


def test_what_a_killed_start_left_half_copied_is_cleared(tmp_path: Path) -> None:
    samples, place = tmp_path / "samples", tmp_path / "place"
    samples.mkdir()
    place.mkdir()
    (samples / "a.md").write_text("whole")
    (place / ".a.md.partial").write_text("ha")
    lay_out(samples, place)
    assert tree(place) == {"a.md": b"whole"}
