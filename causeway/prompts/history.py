"""What the registry remembers: versions, labels and events as values, read from their tables; and how versions differ."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.errors import NotFoundError
from causeway.prompts.prompt import Prompt, parse
from causeway.prompts.rollout import Pointer
from causeway.storage.prompt_schema import prompt_events, prompt_labels, prompt_versions

Origin = Literal["package", "file", "page", "api"]
Action = Literal["publish", "label", "rollout", "rollback", "unlabel", "follow", "package"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version, which never changes.

    Attributes:
        text: The whole ``.prompt`` file, this version's number in its front matter.
        content_sha256: Of the text whatever its number.
        based_on: The version that was edited; None where that is not known.
        created_by: The principal's id.
    """

    name: str
    version: int
    text: str
    content_sha256: str
    origin: Origin
    based_on: int | None
    why: str
    created_by: str
    created_at: datetime

    @property
    def reference(self) -> str:
        """``answer@3``."""
        return f"{self.name}@{self.version}"

    def prompt(self) -> Prompt:
        """What the text says."""
        return parse(self.text, origin=self.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Who changed what of a prompt, when and why.

    Attributes:
        before: What the label pointed to: ``version``, ``trial``, ``percent``; None when it was made.
        after: What it points to since, None when it is gone; of a publication the version.
    """

    id: int
    name: str
    action: Action
    label: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    why: str
    principal_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """A line of two texts side by side; a side that has none is None.

    Attributes:
        kind: ``same`` on both, ``changed``, only left (``gone``), only right (``new``), or lines ``skipped``.
        left: Number and text.
        right: The same of the other.
    """

    kind: Literal["same", "changed", "gone", "new", "skipped"]
    left: tuple[int, str] | None = None
    right: tuple[int, str] | None = None


async def read_versions(connection: AsyncConnection, name: str) -> list[Version]:
    """The versions of a prompt, newest first."""
    query = (
        select(prompt_versions)
        .where(prompt_versions.c.name == name)
        .order_by(prompt_versions.c.version.desc())
    )
    return [Version(**row) for row in (await connection.execute(query)).mappings()]


async def read_version(connection: AsyncConnection, name: str, number: int) -> Version:
    """One version.

    Raises:
        NotFoundError: There is none.
    """
    query = select(prompt_versions).where(prompt_versions.c.name == name, prompt_versions.c.version == number)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"the prompt '{name}' has no version {number}")
    return Version(**row)


async def read_labels(connection: AsyncConnection, name: str | None = None) -> dict[str, dict[str, Pointer]]:
    """What labels point to, by prompt and label."""
    query = select(prompt_labels)
    if name is not None:
        query = query.where(prompt_labels.c.name == name)
    found: dict[str, dict[str, Pointer]] = {}
    for row in (await connection.execute(query)).mappings():
        found.setdefault(row["name"], {})[row["label"]] = Pointer(
            version=row["version"],
            trial=row["trial"],
            percent=row["percent"],
            follows_package=row["follows_package"],
        )
    return found


async def read_events(
    connection: AsyncConnection, name: str, *, label: str | None = None, limit: int | None = 100
) -> list[Event]:
    """The newest events of a prompt, newest first."""
    query = select(prompt_events).where(prompt_events.c.name == name).order_by(prompt_events.c.id.desc())
    if label is not None:
        query = query.where(prompt_events.c.label == label)
    if limit is not None:
        query = query.limit(limit)
    return [Event(**row) for row in (await connection.execute(query)).mappings()]


def pointed_before(events: Sequence[Event], present: int) -> Pointer | None:
    """What a label pointed to before ``present`` was put there on purpose; None when there was nothing.

    Rollbacks themselves are passed over, so that one after the other goes further back and not to and fro.

    Args:
        events: Of the label, newest first.
        present: What it points to now.
    """
    for event in events:
        if event.action == "rollback" or event.after is None or event.after.get("version") != present:
            continue
        before = event.before
        if before is not None and before["version"] != present:
            return Pointer(version=before["version"], follows_package=before.get("follows_package", False))
    return None


def side_by_side(left: str, right: str, *, around: int | None = 6) -> list[Row]:
    """Two texts line by line; equal lines further than ``around`` from a change are left out, None keeps all."""
    ours, theirs = left.split("\n"), right.split("\n")
    rows: list[Row] = []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    steps = matcher.get_opcodes()
    for place, (kind, i, j, m, n) in enumerate(steps):
        if kind == "equal":
            same = [
                Row("same", (a + 1, ours[a]), (b + 1, theirs[b]))
                for a, b in zip(range(i, j), range(m, n), strict=True)
            ]
            rows += _shortened(same, around, is_first=place == 0, is_last=place == len(steps) - 1)
            continue
        for step in range(max(j - i, n - m)):
            old = (i + step + 1, ours[i + step]) if i + step < j else None
            new = (m + step + 1, theirs[m + step]) if m + step < n else None
            rows.append(Row("changed" if old and new else "gone" if old else "new", old, new))
    return rows


def patch(before: str | None, after: str, *, path: str) -> str:
    """A unified diff that ``git apply`` takes; of a new file when there was none before, empty when nothing differs."""
    if before == after:
        return ""
    old = (before or "").splitlines(keepends=True)
    lines = difflib.unified_diff(
        old, after.splitlines(keepends=True), f"a/{path}" if before is not None else "/dev/null", f"b/{path}"
    )
    marked = [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    head = [f"diff --git a/{path} b/{path}\n", *(["new file mode 100644\n"] if before is None else [])]
    return "".join([*head, *marked])


def _shortened(rows: list[Row], around: int | None, *, is_first: bool, is_last: bool) -> list[Row]:
    if around is None:
        return rows
    head = 0 if is_first else around
    tail = 0 if is_last else around
    if len(rows) <= head + tail + 1:
        return rows
    return [*rows[:head], Row("skipped"), *rows[len(rows) - tail :]]
