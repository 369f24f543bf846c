"""The registry: versions of prompts that never change, labels that point to them, and who moved those, when and why.

Packaged prompts are its first versions. A newer release's prompts become further versions; a label goes along with them
only as long as nobody has moved it. Every change is one transaction with a line of the audit log, is told to all
processes, and is in force there at once: each keeps the versions in its `causeway.prompts.shelf.Shelf`. Why it is so is
docs/adr/0030's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import func, select

from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import InvalidInputError, NotFoundError
from causeway.prompts import history
from causeway.prompts.changes import Change, Known, changing
from causeway.prompts.checking import Checked, check, unfillable
from causeway.prompts.history import Action, Event, Origin, Version
from causeway.prompts.in_force import InForce
from causeway.prompts.prompt import content_sha256, parse
from causeway.prompts.rollout import Pointer
from causeway.prompts.shelf import LIVE, NEWEST, Shelf, packaged_texts
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.prompt_schema import prompt_versions
from causeway.storage.recorder import Recorder

_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_RESERVED: Final = frozenset({NEWEST, "package", "none", "draft"})
"""What stands in a label's place where versions are named."""
_CAME: Final = "came with Causeway"
_NOTHING_ELSE: Final = Known()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a prompt stands.

    Attributes:
        newest: Number of its newest version.
        versions: How many there are.
        packaged: The version that this release comes with; None for a prompt of one's own.
        is_behind: The package has a version above the live one, which somebody chose.
        unfit: Live versions that this release cannot fill, so that the packaged one is used in their place.
    """

    name: str
    description: str
    newest: int
    versions: int
    labels: Mapping[str, Pointer]
    packaged: int | None
    is_behind: bool
    unfit: tuple[int, ...]

    @property
    def live(self) -> Pointer | None:
        """What is live."""
        return self.labels.get(LIVE)

    def labels_of(self, version: int) -> list[str]:
        """The labels that point to a version, as theirs or as their trial."""
        return sorted(name for name, each in self.labels.items() if version in (each.version, each.trial))


class Registry:
    """Reads and changes prompts.

    Args:
        database: Where they are kept.
        shelf: What this process asks; kept true by `running`.
        notices: How other processes' changes are heard.
        record: Writes the audit log.
    """

    def __init__(self, database: Database, shelf: Shelf, *, notices: Notices, record: Recorder) -> None:
        self.shelf = shelf
        self._database = database
        self._record = record
        self._in_force = InForce(database, shelf, notices)
        self._packaged: dict[str, int] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Put packaged prompts in, and keep the shelf true until the block ends."""
        await self._take_package()
        await self._in_force.load()
        async with self._in_force.following():
            yield

    # --- changes -------------------------------------------------------------------------------------

    async def publish(
        self,
        text: str,
        *,
        by: Principal,
        why: str,
        origin: Origin,
        known: Known = _NOTHING_ELSE,
        label: str | None = None,
    ) -> Version:
        """Make a version of a file's text; text that is a version already is that version.

        Args:
            text: A whole ``.prompt`` file; its version is replaced by the next number.
            by: Who does it.
            why: For those who read the history.
            origin: Where the text comes from.
            known: What its author knew of.
            label: Point this label to it as well.

        Raises:
            InvalidInputError: It may not be published (`causeway.prompts.checking`), or there is no reason.
            StaleEditError: Somebody published meanwhile.
        """
        checked = self.check(text)
        prompt = checked.prompt
        if prompt is None or checked.problems:
            raise InvalidInputError(f"this cannot be published: {'; '.join(checked.problems)}")
        if label is not None:
            _check_label(label)
        async with self._changing(by, why) as change:
            version, _ = await change.publish(text, prompt, origin=origin, known=known)
            if label is not None:
                await change.point(version.name, label, Pointer(version=version.version), action="label")
        await self._in_force.load(version.name)
        return version

    async def label(self, name: str, label: str, version: int, *, by: Principal, why: str) -> Pointer:
        """Point a label to a version, for all conversations; a trial of it ends.

        Raises:
            NotFoundError: There is no such version.
            InvalidInputError: No label is called so, this release cannot fill it, or there is no reason.
        """
        _check_label(label)
        async with self._changing(by, why) as change:
            wanted = await self._move(change, name, label, Pointer(version=version), action="label")
        await self._in_force.load(name)
        return wanted

    async def roll_out(
        self, name: str, trial: int, percent: int, *, by: Principal, why: str, label: str = LIVE
    ) -> Pointer:
        """Give ``percent`` of the conversations another version; 0 ends the trial, 100 moves the label to it.

        Raises:
            NotFoundError: There is no such version or label.
            InvalidInputError: The percentage is none, this release cannot fill it, or there is no reason.
        """
        if not 0 <= percent <= 100:
            raise InvalidInputError(f"{percent} is no percentage; give 0 to 100")
        async with self._changing(by, why) as change:
            present = await change.present(name, label)
            if percent == 100:
                wanted = Pointer(version=trial)
            else:
                wanted = replace(present, trial=trial if percent else None, percent=percent)
            await self._move(change, name, label, wanted, action="rollout")
        await self._in_force.load(name)
        return wanted

    async def roll_back(self, name: str, *, by: Principal, why: str = "", label: str = LIVE) -> Pointer:
        """End a label's trial; without one, point it to the version that it pointed to before.

        Raises:
            NotFoundError: There is no such label, or it has never pointed elsewhere.
        """
        async with self._changing(by, why.strip() or "rolled back") as change:
            present = await change.present(name, label)
            if present.trial is not None:
                wanted = replace(present, trial=None, percent=0)
            else:
                before = history.pointed_before(await change.events(name, label), present.version)
                if before is None:
                    raise NotFoundError(f"'{label}' of the prompt '{name}' has pointed to no version before")
                wanted = before
            await self._move(change, name, label, wanted, action="rollback")
        await self._in_force.load(name)
        return wanted

    async def follow(self, name: str, *, by: Principal, why: str) -> Pointer:
        """Point ``live`` to the packaged version, and let it go along with newer ones.

        Raises:
            NotFoundError: No prompt of that name comes with Causeway.
            InvalidInputError: There is no reason.
        """
        number = self._packaged.get(name)
        if number is None:
            raise NotFoundError(f"no prompt '{name}' comes with Causeway")
        wanted = Pointer(version=number, follows_package=True)
        async with self._changing(by, why) as change:
            await self._move(change, name, LIVE, wanted, action="follow")
        await self._in_force.load(name)
        return wanted

    async def unlabel(self, name: str, label: str, *, by: Principal, why: str) -> None:
        """Take a label away; ``live`` stays.

        Raises:
            NotFoundError: There is no such label.
            InvalidInputError: It is ``live``, or there is no reason.
        """
        if label == LIVE:
            msg = "'live' cannot be taken away; point it to another version"
            raise InvalidInputError(msg)
        async with self._changing(by, why) as change:
            await change.unlabel(name, label)
        await self._in_force.load(name)

    # --- reading -------------------------------------------------------------------------------------

    def check(self, text: str) -> Checked:
        """Whether a text may be published."""
        try:
            name = parse(text, origin="the prompt").name
        except InvalidInputError as exc:
            return Checked(prompt=None, problems=(exc.message,))
        return check(text, origin=f"{name}.prompt", packaged=self.shelf.packaged_prompt(name))

    async def standings(self, name: str | None = None) -> list[Standing]:
        """How every prompt stands, or one, by name."""
        columns = (prompt_versions.c.name, func.max(prompt_versions.c.version), func.count())
        newest = select(*columns).group_by(prompt_versions.c.name).order_by(prompt_versions.c.name)
        if name is not None:
            newest = newest.where(prompt_versions.c.name == name)
        async with self._database.connect() as connection:
            rows = (await connection.execute(newest)).all()
            labels = await history.read_labels(connection, name)
        return [
            self._standing(called, int(number), int(count), labels.get(called, {}))
            for called, number, count in rows
        ]

    async def standing(self, name: str) -> Standing:
        """How a prompt stands.

        Raises:
            NotFoundError: There is none.
        """
        found = await self.standings(name)
        if not found:
            raise NotFoundError(f"no prompt is called '{name}'; there are {', '.join(self.shelf.names())}")
        return found[0]

    async def versions(self, name: str) -> list[Version]:
        """Its versions, newest first."""
        async with self._database.connect() as connection:
            return await history.read_versions(connection, name)

    async def version(self, name: str, which: str | int = LIVE) -> Version:
        """The version of a number, the one that most conversations get of a label, or the ``newest``.

        Raises:
            NotFoundError: There is none.
        """
        number = await self._number(name, str(which))
        async with self._database.connect() as connection:
            return await history.read_version(connection, name, number)

    async def events(self, name: str, *, limit: int = 100) -> list[Event]:
        """Who changed what of it, newest first."""
        async with self._database.connect() as connection:
            return await history.read_events(connection, name, limit=limit)

    def packaged_text(self, name: str) -> str | None:
        """The file that this release comes with; None for a prompt of one's own."""
        return packaged_texts().get(name)

    # --- the steps -----------------------------------------------------------------------------------

    def _changing(self, by: Principal, why: str) -> AbstractAsyncContextManager[Change]:
        return changing(self._database, self._record, by=by, why=why)

    async def _move(
        self, change: Change, name: str, label: str, wanted: Pointer, *, action: Action
    ) -> Pointer:
        """Point a label elsewhere, if what it shall point to is there and ``live`` can be filled with it."""
        for number in (wanted.version, wanted.trial):
            if number is None:
                continue
            version = await history.read_version(change.connection, name, number)
            missing = unfillable(version.prompt(), self.shelf.packaged_prompt(name))
            if missing and label == LIVE:
                raise InvalidInputError(
                    f"{version.reference} names {', '.join(sorted(missing))}, which this release does not give it"
                )
        await change.point(name, label, wanted, action=action)
        return wanted

    async def _number(self, name: str, which: str) -> int:
        if which.isdecimal():
            return int(which) if len(which) < 10 else 0
        standing = await self.standing(name)
        if which == NEWEST:
            return standing.newest
        if which not in standing.labels:
            raise NotFoundError(f"the prompt '{name}' has no label '{which}'")
        return standing.labels[which].version

    def _standing(self, name: str, newest: int, versions: int, labels: Mapping[str, Pointer]) -> Standing:
        packaged = self._packaged.get(name)
        live = labels.get(LIVE)
        return Standing(
            name=name,
            description=self.shelf.description(name),
            newest=newest,
            versions=versions,
            labels=labels,
            packaged=packaged,
            is_behind=bool(live and packaged and live.version < packaged),
            unfit=tuple(self.shelf.unfit_live(name)),
        )

    async def _take_package(self) -> None:
        """Make versions of the prompts that come with this release, where they are not there yet."""
        texts = packaged_texts()
        digests = [content_sha256(text) for text in texts.values()]
        known = select(prompt_versions.c.name, prompt_versions.c.version).where(
            prompt_versions.c.content_sha256.in_(digests)
        )
        async with self._database.connect() as connection:
            found = {row.name: row.version for row in await connection.execute(known)}
        for name in sorted(texts.keys() - found.keys()):
            async with self._changing(SYSTEM, _CAME) as change:
                found[name] = await self._seed(change, name, texts[name])
        self._packaged = found

    async def _seed(self, change: Change, name: str, written: str) -> int:
        prompt = parse(written, origin=f"{name}.prompt")
        version, is_new = await change.publish(written, prompt, origin="package", known=Known(is_over=True))
        live = await change.pointer(name, LIVE)
        if live is None or (is_new and live.follows_package and live.trial is None):
            wanted = Pointer(version=version.version, follows_package=True)
            await change.point(name, LIVE, wanted, action="package")
        return version.version


def _check_label(label: str) -> None:
    if label in _RESERVED:
        raise InvalidInputError(f"'{label}' means something else already; call the label otherwise")
    if not _LABEL.fullmatch(label):
        raise InvalidInputError(
            f"'{label}' is no label: it begins with a letter, then letters, digits, '-' and '_', 40 at most, all lower case"
        )
