"""The settings in force, and how new ones come into force without a restart.

File, environment and what was changed on pages are read anew on SIGHUP, on request, after every change on a page of any
process, and when the file was written. What calls go through is then built from them beside the old, and takes its place
between two calls, as a whole or not at all: on a mistake nothing changes, and the message says which key. Calls that are
under way end on what they began with.

Settings that a process reads once, such as its port, are not applied; `LiveSettings.needs_restart` names them.
docs/adr/0015-live-settings.md has why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from causeway.contracts.identity import Principal
from causeway.errors import CausewayError, DeadlineError, NotFoundError, SettingsError
from causeway.gateway.overrides import Change, Overrides, WrongFieldsError, problems, shape_of
from causeway.gateway.setting_names import (
    LIVE_ALIASES,
    LIVE_SECTIONS,
    STARTED_ONLY,
    differing,
    flat,
    is_live,
    shown_change,
    values_of,
)
from causeway.settings import Layer, Origins, Settings, Source
from causeway.storage.background import alongside
from causeway.storage.notices import Notices

log = logging.getLogger(__name__)

_PRESENCE = {"providers": "kind", "routes": "spread", "tiers": "priority"}
"""The key that is written for a section of a page's own even where every value is the default, so that it is there."""
_READ_DEADLINE_S = 10.0
_LOOK_EVERY_S = 2.0


class Generation(Protocol):
    """What was built from one state of the settings, and what it holds open."""

    async def retire(self) -> None:
        """Wait until its calls have ended, for a bounded time."""
        ...

    async def close(self) -> None:
        """Let go of what no later generation took over; doing it twice does nothing."""
        ...


Built = TypeVar("Built", bound=Generation)
Build = Callable[[Settings, Built | None], Built]
"""Builds from settings, taking over what it can of the generation before. When it raises it has taken nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one reading brought: dotted names of settings.

    Attributes:
        changed: What is in force now and was not before.
        needs_restart: What differs from the state at the start and waits for a restart.
    """

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class LiveSettings(Generic[Built]):
    """The settings of this process; see the module.

    Args:
        started: What this process was started with, its command line's options included.
        source: Where file and environment are read.
        overrides: What pages change.
        build: Makes what calls go through; it also is the last check of new settings.
        notices: Tells of other processes' changes.
        look_every_s: How often the file's time is looked at.
    """

    def __init__(
        self,
        started: Settings,
        *,
        source: Source,
        overrides: Overrides,
        build: Build[Built],
        notices: Notices,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._started = started
        self._source = source
        self._overrides = overrides
        self._build = build
        self._look_every_s = look_every_s
        self._current = started
        self._origins: Origins = {}
        self._layer: Layer = {}
        self._first: Mapping[str, object] = {}
        self._needs_restart: tuple[str, ...] = ()
        self._problem: str | None = None
        self._built: Built | None = None
        self._replaced: list[Built] = []
        self._adopters: list[Callable[[Built], None]] = []
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._is_asked = False
        self._stamp = source.stamp()
        notices.follow("setting_overrides", lambda _: self.ask())

    @property
    def current(self) -> Settings:
        """The settings in force."""
        return self._current

    @property
    def origins(self) -> Origins:
        """Where each setting that is not a default came from."""
        return self._origins

    @property
    def overridden(self) -> Layer:
        """What pages changed, as it was written: keys of providers by reference."""
        return self._layer

    def beneath(self) -> tuple[Settings, Origins]:
        """What file and environment say, read now, without what pages changed.

        Raises:
            SettingsError: They alone cannot be used.
        """
        return self._source.read()

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Settings that were changed since the start and that a process reads only then."""
        return self._needs_restart

    @property
    def problem(self) -> str | None:
        """Why the newest settings are not in force; None when they are."""
        return self._problem

    @property
    def built(self) -> Built:
        """What calls go through.

        Raises:
            RuntimeError: Nothing runs.
        """
        if self._built is None:
            msg = "the settings are not running"
            raise RuntimeError(msg)
        return self._built

    def follow(self, adopt: Callable[[Built], None]) -> None:
        """Call ``adopt`` with each later generation as it comes into force; it neither waits nor fails."""
        self._adopters.append(adopt)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Build the first generation and follow every change until the block ends, which closes what is open.

        Raises:
            SettingsError: The settings cannot be used, what pages changed among them.
            CausewayError: The database cannot be reached.
        """
        try:
            async with self._turn:
                await self._read()
            async with alongside(self._keep_following()):
                yield
        finally:
            for built in [*self._replaced, *([self._built] if self._built is not None else [])]:
                await built.close()
            self._built, self._replaced = None, []

    def ask(self) -> None:
        """Have everything read anew in a moment; for signal handlers and notices."""
        self._is_asked = True
        self._wake.set()

    async def reload(self) -> Reading:
        """Read everything anew and put it into force.

        Raises:
            SettingsError: A mistake; nothing has changed.
            CausewayError: The database cannot be reached; nothing has changed.
        """
        async with self._turn:
            return await self._read()

    async def change(self, section: str, values: Mapping[str, object], *, by: Principal) -> Reading:
        """Set values of a section, in force here at once and in other processes within a second.

        A value that file, environment or default say as well is left to them again. A section that is not there is
        made.

        Args:
            section: ``tiers.free``, ``providers.NAME``, ``routes.NAME``, ``gateway``, ``guard`` or ``models``.
            values: JSON by key; what is not given stays.
            by: Who does it.

        Raises:
            WrongFieldsError: A value cannot be used.
            SettingsError: The settings as a whole could not; nothing has changed.
        """
        shape_of(section)
        wrong = problems(section, values, is_new=values_of(self._current, section) is None)
        if wrong:
            raise WrongFieldsError(section, wrong)
        return await self._change(section, values, by)

    async def reset(self, section: str, *, by: Principal) -> Reading:
        """Leave a section to file and environment again; one that only pages made is gone.

        Raises:
            NotFoundError: Nothing of it was set on pages.
            SettingsError: Something else needs it; nothing has changed.
        """
        shape_of(section)
        return await self._change(section, None, by)

    # --- reading -------------------------------------------------------------------------------------

    async def _read(self) -> Reading:
        """One reading, while it has its turn."""
        try:
            layer = await self._pages()
            settings, origins = self._source.read(layer)
            applied = self._applicable(settings)
            if applied != self._current or self._built is None:
                self._put_into_force(applied)
        except CausewayError as exc:
            self._problem = exc.message
            raise
        changed = differing(flat(self._current), flat(applied))
        self._current, self._origins, self._layer, self._problem = applied, origins, layer, None
        self._needs_restart = self._waiting(settings)
        if changed:
            log.info("settings came into force", extra={"settings": ", ".join(changed)})
        return Reading(changed=changed, needs_restart=self._needs_restart)

    async def _pages(self) -> Layer:
        try:
            async with asyncio.timeout(_READ_DEADLINE_S):
                return await self._overrides.read()
        except TimeoutError as exc:
            msg = f"the database did not tell what pages changed within {_READ_DEADLINE_S:.0f} s; try again"
            raise DeadlineError(msg) from exc

    def _put_into_force(self, settings: Settings) -> None:
        _check(settings)
        built = self._build(settings, self._built)
        if self._built is not None:
            self._replaced.append(self._built)
        self._built = built
        for adopt in self._adopters:
            adopt(built)
        self._wake.set()  # what was replaced can be retired

    def _applicable(self, settings: Settings) -> Settings:
        """What of newly read settings may come into force at once."""
        started = self._started
        aliases = {alias: getattr(settings.models, alias) for alias in LIVE_ALIASES}
        kept = {key: getattr(started.gateway, key) for key in STARTED_ONLY}
        return started.model_copy(
            update={
                **{section: getattr(settings, section) for section in LIVE_SECTIONS},
                "gateway": settings.gateway.model_copy(update=kept),
                "models": started.models.model_copy(update=aliases),
            }
        )

    def _waiting(self, settings: Settings) -> tuple[str, ...]:
        """What differs from the first reading and was not applied; that may differ from the command line's options."""
        found = {name: value for name, value in flat(settings).items() if not is_live(name)}
        self._first = self._first or found
        return differing(self._first, found)

    # --- changing ------------------------------------------------------------------------------------

    async def _change(self, section: str, values: Mapping[str, object] | None, by: Principal) -> Reading:
        async def choose(layer: Layer) -> Change:
            change = self._chosen(section, values, layer)
            others = {name: each for name, each in layer.items() if name != section}
            await self._try({**others, section: change.overrides} if change.overrides else others)
            return change

        async with self._turn:
            try:
                async with asyncio.timeout(_READ_DEADLINE_S):
                    await self._overrides.change(section, choose, by=by)
            except TimeoutError as exc:
                msg = f"the database did not take the change within {_READ_DEADLINE_S:.0f} s; try again"
                raise DeadlineError(msg) from exc
            return await self._read()

    def _chosen(self, section: str, values: Mapping[str, object] | None, layer: Layer) -> Change:
        others = {name: each for name, each in layer.items() if name != section}
        under = values_of(self._source.read(others)[0], section)
        was = values_of(self._source.read(layer)[0], section)
        kind = section.partition(".")[0].removesuffix("s") if "." in section else "setting"
        if values is None:
            if section not in layer:
                raise NotFoundError(f"nothing of '{section}' was changed on pages; it is as the file says")
            verb, overrides = ("delete" if under is None else "reset"), dict[str, object]()
            will = under
        else:
            verb = "create" if was is None else "update"
            wanted = {**layer.get(section, {}), **values}
            will = values_of(self._source.read({**others, section: wanted})[0], section) or {}
            overrides = {
                key: value
                for key, value in wanted.items()
                if under is None or under.get(key) != will.get(key)
            }
            presence = _PRESENCE.get(section.partition(".")[0])
            if under is None and presence is not None:
                overrides.setdefault(presence, will[presence])
        return Change(
            action=f"{kind}.{verb}",
            overrides=overrides,
            before=shown_change(was, will, section),
            after=shown_change(will, was, section),
        )

    async def _try(self, layer: Layer) -> None:
        """Build from what the settings would be, take nothing over, and close it again.

        Raises:
            SettingsError: They cannot be used.
        """
        settings = self._applicable(self._source.read(layer)[0])
        _check(settings)
        await self._build(settings, None).close()

    # --- following -----------------------------------------------------------------------------------

    async def _keep_following(self) -> None:
        async with asyncio.TaskGroup() as retiring:
            while True:
                while self._replaced:
                    retiring.create_task(_retire(self._replaced.pop()))
                try:
                    async with asyncio.timeout(self._look_every_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                stamp = self._source.stamp()
                if self._is_asked or stamp != self._stamp:
                    self._is_asked, self._stamp = False, stamp
                    await self._follow()

    async def _follow(self) -> None:
        known = self._problem
        try:
            await self.reload()
        except SettingsError as exc:
            if exc.message != known:
                log.warning("new settings cannot be used; the old ones stay", extra={"reason": exc.message})
        except CausewayError as exc:
            self._is_asked = True  # the next look tries again
            if exc.message != known:
                log.warning("the settings could not be read anew", extra={"reason": exc.message})
        except Exception:
            log.exception("the settings could not be read anew")


async def _retire(built: Generation) -> None:
    try:
        try:
            await built.retire()
        finally:
            await built.close()
    except Exception:
        log.exception("what settings of before had opened could not be closed")


def _check(settings: Settings) -> None:
    tier = settings.gateway.default_tier
    if tier not in settings.tiers:
        raise SettingsError(
            f"gateway.default_tier is '{tier}', which is no tier; there are {', '.join(sorted(settings.tiers))}"
        )
