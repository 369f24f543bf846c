"""A folder that people and programs work in, for `bench.soak`: every way in which files come, change, move and go.

`Tree.work` does one thing. What ought to be indexed is told by looking at the folder, never by what was done, and by
rules written here a second time, so that a mistake in Causeway's own scan cannot hide itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

_WORDS = [
    "tent",
    "boot",
    "rain",
    "stove",
    "lantern",
    "valley",
    "ridge",
    "river",
    "night",
    "summit",
    "map",
    "compass",
]
_IGNORED_ENDS = ("~", ".tmp", ".temp", ".part", ".partial", ".crdownload")
_ODD_NAMES = (
    "ünïcode {}.md",
    "two  spaces {}.md",
    "line\nbreak {}.md",
    "\N{SNOWMAN}{}.md",
    "percent%20{}.md",
    "a'b\"c;{}.md",
)
_FEWEST = 40
_MOST = 400


@dataclass(frozen=True)
class Expected:
    """A file that ought to be a document; ``text`` is its words, None where only its bytes are compared."""

    sha256: str
    text: str | None


@dataclass
class _Slow:
    """A file that is written in pieces, some at a time."""

    file: Path
    pieces: list[str] = field(default_factory=list)


class Tree:
    """The folder and who works in it."""

    def __init__(self, root: Path, random: Random, *, samples: list[Path] | None = None) -> None:
        """``samples`` are documents of other kinds, which are copied in now and then; ``written`` counts texts."""
        self.root = root
        self.done: Counter[str] = Counter()
        self._random = random
        self._samples = samples or []
        self._slow: list[_Slow] = []
        self.written = 0
        self._kept_from_reading: list[Path] = []
        self._ways: dict[str, tuple[int, Callable[[], None]]] = {
            "create": (20, self._create),
            "edit": (18, self._edit),
            "append": (6, self._append),
            "save by way of a temporary file": (9, self._save_aside),
            "write slowly": (6, self._begin_slowly),
            "truncate": (2, self._truncate),
            "empty": (1, self._empty),
            "touch": (4, self._touch),
            "chmod": (3, self._chmod),
            "rename a file": (10, self._rename),
            "rename a folder": (4, self._rename_folder),
            "move a folder": (3, self._move_folder),
            "swap two files": (2, self._swap),
            "rotate three files": (1, self._rotate),
            "replace by one of the same size and time": (2, self._replace_unseen),
            "copy": (3, self._copy),
            "delete": (9, self._delete),
            "delete a folder": (1, self._delete_folder),
            "file becomes folder": (1, self._file_becomes_folder),
            "link": (2, self._link),
            "keep from being read": (1, self._forbid),
            "ignored file": (3, self._write_ignored),
            "odd name": (2, self._odd_name),
            "document of another kind": (1, self._sample),
        }

    def work(self) -> None:
        """Do one thing."""
        files = self.files()
        if self._slow and self._random.random() < 0.4:
            self._go_on_slowly()
            self.done["write slowly, a piece"] += 1
            return
        names = list(self._ways)
        if len(files) < _FEWEST:
            names = ["create"]
        elif len(files) > _MOST:
            names = ["delete", "delete a folder", "edit", "rename a file"]
        name = self._random.choices(names, [self._ways[each][0] for each in names])[0]
        try:
            self._ways[name][1]()
        except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError):
            name = f"{name}, in vain"  # a folder was in the way, as happens to people
        except OSError as exc:
            if exc.errno not in (
                22,
                36,
                39,
            ):  # a folder into itself, too long a name, onto a folder that is not empty
                raise
            name = f"{name}, in vain"
        self.done[name] += 1

    def settle(self) -> None:
        """Finish what is half written, and let everything be read again."""
        while self._slow:
            self._go_on_slowly()
        for path in self._kept_from_reading:
            if path.exists():
                path.chmod(0o755 if path.is_dir() else 0o644)
        self._kept_from_reading.clear()

    def rename_some(self, count: int) -> list[tuple[str, str]]:
        """Rename and move files whose bytes no other file has, and folders; from -> to, for files, in the end."""
        expected = self.expected()
        owners = Counter(each.sha256 for each in expected.values())
        before = {each.sha256: path for path, each in expected.items() if owners[each.sha256] == 1}
        for _ in range(count):
            (self._rename_folder if self._random.random() < 0.25 else self._rename)()
        after = {each.sha256: path for path, each in self.expected().items()}
        return [(path, after[sha256]) for sha256, path in before.items() if sha256 in after]

    # --- looking -------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """The files that ought to be indexed."""
        found: list[Path] = []
        for place, folders, names in os.walk(self.root):
            folders[:] = [each for each in folders if not _is_ignored(each)]
            for name in names:
                file = Path(place, name)
                try:
                    if not _is_ignored(name) and stat.S_ISREG(file.lstat().st_mode):
                        found.append(file)
                except FileNotFoundError:
                    continue
        return sorted(found)

    def folders(self) -> list[Path]:
        """The folders in it, at any depth."""
        found: list[Path] = []
        for place, folders, _ in os.walk(self.root):
            folders[:] = [each for each in folders if not _is_ignored(each)]
            found += [Path(place, each) for each in folders]
        return sorted(each for each in found if not each.is_symlink())

    def expected(self) -> dict[str, Expected]:
        """What the index ought to hold, by path."""
        told = {}
        for file in self.files():
            content = file.read_bytes()
            text = words_of(content.decode()) if file.suffix == ".md" else None
            told[file.relative_to(self.root).as_posix()] = Expected(hashlib.sha256(content).hexdigest(), text)
        return told

    # --- working -------------------------------------------------------------------------------------

    def _text(self) -> str:
        """A text whose first word is in no other."""
        self.written += 1
        body = " ".join(self._random.choices(_WORDS, k=self._random.randint(12, 60)))
        return f"# Note\n\nqz{self.written:06d}x {body}.\n"

    def _file(self) -> Path:
        return self._random.choice(self.files())

    def _folder(self) -> Path:
        return self._random.choice([self.root, *self.folders()])

    def _place(self) -> Path:
        folder = self._folder()
        if self._random.random() < 0.12 and len(folder.relative_to(self.root).parts) < 6:
            folder = folder / f"d{self._random.randrange(12)}"
            folder.mkdir(exist_ok=True)
        return folder / f"n{self._random.randrange(150)}.md"

    def _create(self) -> None:
        self._place().write_text(self._text())

    def _edit(self) -> None:
        self._file().write_text(self._text())

    def _append(self) -> None:
        with self._note().open("a") as out:
            out.write(f"\nMore {' '.join(self._random.choices(_WORDS, k=9))}.\n")

    def _note(self) -> Path:
        return self._random.choice([each for each in self.files() if each.suffix == ".md"])

    def _save_aside(self) -> None:
        """As editors do: a new file under another name, renamed over the old one."""
        target = self._note()
        aside = target.with_name(
            self._random.choice((f".{target.name}.swp", f"{target.name}.tmp", f"{target.name}.new.md"))
        )
        aside.write_text(self._text())
        aside.replace(target)

    def _begin_slowly(self) -> None:
        text = self._text()
        file = self._random.choice((self._place, self._note))()
        size = max(1, len(text) // self._random.randint(2, 8))
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        file.write_text(pieces.pop(0))
        self._slow.append(_Slow(file, pieces))

    def _go_on_slowly(self) -> None:
        slow = self._random.choice(self._slow)
        if slow.pieces and slow.file.is_file():
            with slow.file.open("a") as out:
                out.write(slow.pieces.pop(0))
        else:
            self._slow.remove(slow)

    def _truncate(self) -> None:
        file = self._note()
        with file.open("r+b") as out:
            out.truncate(max(20, file.stat().st_size // 2))

    def _empty(self) -> None:
        with self._note().open("w"):
            pass

    def _touch(self) -> None:
        moment = self._random.choice((None, (0, 0), (10**9, 10**9), (4 * 10**9, 4 * 10**9)))
        os.utime(self._file(), moment)

    def _chmod(self) -> None:
        self._file().chmod(self._random.choice((0o644, 0o600, 0o444, 0o755)))

    def _rename(self) -> None:
        file = self._note()
        target = self._place()
        if not target.exists():
            file.rename(target)

    def _rename_folder(self) -> None:
        if folders := self.folders():
            folder = self._random.choice(folders)
            target = folder.with_name(f"d{self._random.randrange(40)}")
            if not target.exists():
                folder.rename(target)

    def _move_folder(self) -> None:
        if folders := self.folders():
            folder = self._random.choice(folders)
            target = self._folder() / folder.name
            if not target.exists() and not target.is_relative_to(folder):
                folder.rename(target)

    def _swap(self) -> None:
        self._turn(self._random.sample([each for each in self.files() if each.suffix == ".md"], 2))

    def _rotate(self) -> None:
        self._turn(self._random.sample([each for each in self.files() if each.suffix == ".md"], 3))

    def _turn(self, files: list[Path]) -> None:
        aside = files[0].with_name("aside.tmp")
        files[0].rename(aside)
        for free, file in pairwise(files):
            file.rename(free)
        aside.rename(files[-1])

    def _replace_unseen(self) -> None:
        """Another text of the same length under the same name, dated back: what size and time cannot tell."""
        file = self._note()
        before = file.stat()
        text = file.read_text()
        self.written += 1
        changed = f"# Note\n\nqz{self.written:06d}x{text[17:]}" if len(text) > 20 else text
        if len(changed) == len(text):
            aside = file.with_name("aside.tmp")
            aside.write_text(changed)
            os.utime(aside, ns=(before.st_atime_ns, before.st_mtime_ns))
            aside.replace(file)

    def _copy(self) -> None:
        shutil.copy2(self._note(), self._place())

    def _delete(self) -> None:
        self._file().unlink()

    def _delete_folder(self) -> None:
        folders = [each for each in self.folders() if sum(1 for _ in each.rglob("*")) < 25]
        if folders:
            shutil.rmtree(self._random.choice(folders))

    def _file_becomes_folder(self) -> None:
        file = self._note()
        file.unlink()
        file.mkdir()
        (file / "inside.md").write_text(self._text())

    def _link(self) -> None:
        link = self._folder() / f"link {self._random.randrange(30)}.md"
        target = self._random.choice((self._file(), self.root, Path("/nowhere"), link, Path("..")))
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def _forbid(self) -> None:
        path = self._random.choice((self._note, self._folder))()
        if path != self.root:
            path.chmod(0)
            self._kept_from_reading.append(path)
        if len(self._kept_from_reading) > 3:
            again = self._kept_from_reading.pop(0)
            if again.exists():
                again.chmod(0o755 if again.is_dir() else 0o644)

    def _write_ignored(self) -> None:
        name = self._random.choice((".hidden.md", "~$plan.md", "old.md~", "film.part", "x.crdownload"))
        (self._folder() / name).write_text(self._text())

    def _odd_name(self) -> None:
        name = self._random.choice(_ODD_NAMES).format(self._random.randrange(20))
        form = self._random.choice(("NFC", "NFD"))
        if self._random.random() < 0.2:
            name = "l" * 240 + name[-9:]
        (self._folder() / unicodedata.normalize(form, name)).write_text(self._text())  # type: ignore[arg-type]

    def _sample(self) -> None:
        if self._samples:
            sample = self._random.choice(self._samples)
            target = self._folder() / f"{self._random.randrange(8)} {sample.name}"
            shutil.copy(sample, target)
            if self._random.random() < 0.3:  # cut short: it cannot be read, and must be named as failed
                with target.open("r+b") as out:
                    out.truncate(target.stat().st_size // 2)


def words_of(text: str) -> str:
    """The words of a note, without Markdown's marks and NUL, as its chunks hold them."""
    return " ".join(text.replace("# Note", "").replace("\x00", "").split())


def _is_ignored(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower().endswith(_IGNORED_ENDS)
